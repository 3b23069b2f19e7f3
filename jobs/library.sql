-- What a library's readers search for, and what they are shown: nested JSON in, three flat tables out.
--
--   input    where the searches are: JSON Lines, one search a line (default jobs/samples/library)
--   output   the directory that will hold the tables (default out/library)

CREATE EXTERNAL TABLE searches (
  search_id   TEXT NOT NULL,
  searched_at TIMESTAMP NOT NULL,
  branch      TEXT,                    -- null: searched from home
  query       TEXT,
  filters     STRUCT<language TEXT, available_only BOOLEAN>,
  results     ARRAY<STRUCT<title TEXT, isbn TEXT, tags ARRAY<TEXT>, loans BIGINT>>
) STORED AS JSON LOCATION '${input:-jobs/samples/library}';

-- One row for each book that a search showed. unnest makes no row of an empty list, nor of one that is null.
CREATE VIEW shown AS
SELECT search_id, searched_at, branch, filters['language'] AS language, unnest(results) AS book
FROM searches;

CREATE MATERIALIZED VIEW search_results AS
SELECT
  search_id,
  book['isbn']                AS isbn,
  CAST(searched_at AS DATE)   AS search_date,
  branch,
  language,
  book['title']               AS title,
  book['loans']               AS loans
FROM shown;

-- How often each book was shown, and at how many branches.
CREATE MATERIALIZED VIEW book_demand AS
SELECT
  book['isbn']               AS isbn,
  book['title']              AS title,
  count(*)                   AS times_shown,
  count(DISTINCT branch)     AS branches,
  max(book['loans'])         AS loans
FROM shown
GROUP BY book['isbn'], book['title']
ORDER BY times_shown DESC, isbn;

-- What readers are interested in: the tags inside the books inside the searches.
CREATE MATERIALIZED VIEW tag_demand AS
WITH tagged AS (
  SELECT search_id, book['isbn'] AS isbn, unnest(book['tags']) AS tag
  FROM shown
)
SELECT
  tag,
  count(DISTINCT search_id) AS searches,
  count(DISTINCT isbn)      AS books
FROM tagged
GROUP BY tag
ORDER BY searches DESC, tag;

COPY search_results TO '${output:-out/library}/search_results' STORED AS PARQUET PARTITIONED BY (search_date);
COPY book_demand TO '${output:-out/library}/book_demand' STORED AS PARQUET;
COPY tag_demand TO '${output:-out/library}/tag_demand' STORED AS PARQUET;
