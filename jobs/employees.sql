-- Pay by department: a CSV file in, one table out.
--
--   input    the employee file (default jobs/samples/employees.csv)
--   output   the directory that will hold the table (default out/employees)

CREATE EXTERNAL TABLE employees (
  employee_id BIGINT NOT NULL,
  name        TEXT NOT NULL,
  department  TEXT,             -- null: not assigned yet
  title       TEXT,
  hired_on    DATE,
  salary      DECIMAL(12, 2),   -- won a month; null: under negotiation
  bonus       DECIMAL(12, 2),   -- null: none agreed, which is not the same as 0
  status      TEXT
) STORED AS CSV LOCATION '${input:-jobs/samples/employees.csv}';

-- Departments of at least two people. Those who left are not counted; people without a department are a group of
-- their own, as GROUP BY has it. Decimals are exact: the average of DECIMAL(12, 2) has six decimals, and the cast
-- rounds it half away from zero.
CREATE MATERIALIZED VIEW department_pay AS
SELECT
  department,
  count(*)                                            AS headcount,
  count(*) FILTER (WHERE status = 'on leave')         AS on_leave,
  CAST(avg(salary) AS DECIMAL(12, 2))                 AS avg_salary,   -- of those whose salary is known
  min(salary)                                         AS min_salary,
  max(salary)                                         AS max_salary,
  count(bonus)                                        AS with_bonus,
  CAST(coalesce(sum(bonus), 0) AS DECIMAL(14, 2))     AS total_bonus,
  min(hired_on)                                       AS longest_serving_since
FROM employees
WHERE status <> 'left'
GROUP BY department
HAVING count(*) >= 2
ORDER BY avg_salary DESC;

COPY department_pay TO '${output:-out/employees}/department_pay' STORED AS PARQUET;
