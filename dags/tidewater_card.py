"""The card job, every night at 02:00 Asia/Seoul.

    wait_for_files -> audit -> quality_gate -+-> run -> run_gate -+-> end
                                             |                    |
                                             +-> quality_failed <-+    then end

Each step is a `tidewater` command, and its exit code decides:

    0        the task succeeds
    99       nothing is new: the task is skipped, and so is what comes after it
    3        the data was refused and nothing was published: `quality_failed` sends an alert. There is no retry, since
             it would be refused again
    other    the task fails and is tried again, twice. After the last try an alert is sent

The JSON summary of `audit` and `run` is their XCom. The logical date decides nothing: a run takes in whatever has come.
After a long pause, one run takes in everything.

Settings are Airflow variables, or environment variables of the workers with the prefix AIRFLOW_VAR_ in capitals
(AIRFLOW_VAR_TIDEWATER_CARD_DIRECTORY). Relative paths begin at `tidewater_card_directory`.

    variable                    default                  meaning
    tidewater_card_directory    (required)               where the commands run, such as a clone of the repository
    tidewater_card_binary       tidewater                the program
    tidewater_card_job          jobs/card-quality.sql    the job, with the variables `input` and `output`
    tidewater_card_state        state/card-quality       the state of the job
    tidewater_card_input        data/transactions        where the files arrive
    tidewater_card_output       out-quality              where the tables are published
    tidewater_card_options      (none)                   more arguments of `audit` and `run`, such as --settle 1m
    tidewater_card_alert        (none)                   a shell command that reads a message from standard input, such as
                                                         mail -s 'card job' data-team@example.com

After a refusal the DAG run is green if the alert was sent: `quality_failed` has succeeded, and `run` is skipped. If the
alert could not be sent, or no command is set, `quality_failed` fails.

For Airflow 3, and 2.10 or newer with apache-airflow-providers-standard.
"""

import json
import shlex
import subprocess
from datetime import timedelta

import pendulum
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.sensors.bash import BashSensor

try:
    from airflow.sdk import DAG, task
except ImportError:
    from airflow import DAG
    from airflow.decorators import task

# Runs if nothing failed and at least one path was taken.
JOIN = "none_failed_min_one_success"
NO_ALERT = "echo 'the Airflow variable tidewater_card_alert is not set' >&2; exit 1"
# An alert is read on a telephone: the log has the rest.
ALERT_LENGTH = 10_000


def setting(name, default):
    """The template of a setting, as one word of a shell command."""
    return f"{{{{ var.value.get('tidewater_card_{name}', {default!r}) | quote }}}}"


def command(subcommand):
    """A command of tidewater over the whole job."""
    words = [
        setting("binary", "tidewater"),
        subcommand,
        setting("job", "jobs/card-quality.sql"),
        "--state " + setting("state", "state/card-quality"),
        "--set input=" + setting("input", "data/transactions"),
        "--set output=" + setting("output", "out-quality"),
        "--skip-code 99",
        "{{ var.value.get('tidewater_card_options', '') }}",
    ]
    return " ".join(words)


def judged(subcommand):
    """A task that runs a command. A refusal is a result like others: the summary says so, and a gate reads it."""
    # Standard error is part of the log. The summary comes after it, since the last line becomes the XCom.
    return BashOperator(
        task_id=subcommand,
        cwd="{{ var.value.tidewater_card_directory }}",
        bash_command=f"""
summary=$({command(subcommand)} --json)
code=$?
printf '%s\\n' "$summary"
[ $code -eq 3 ] || exit $code
""",
        output_processor=json.loads,
    )


def refused(summary):
    """Whether a command has refused the data. A skipped one has no summary."""
    return summary is not None and summary["outcome"] == "refused"


def alert(instance, headline, details=""):
    """The text of an alert."""
    text = f"{instance.dag_id}: {headline} (run {instance.run_id})\n{details}"
    return text if len(text) <= ALERT_LENGTH else f"{text[:ALERT_LENGTH]}…\nThe rest is in the log."


def refusal(ti):
    """The alert after a refusal, with rows and their places."""
    audit = ti.xcom_pull(task_ids="audit")
    summary = audit if refused(audit) else ti.xcom_pull(task_ids="run")
    return alert(ti, "the data was refused and nothing was published", summary["message"])


def send(context, headline):
    """Sends an alert from a callback. The task's log says what goes wrong with it."""
    shell = context["var"]["value"].get("tidewater_card_alert", NO_ALERT)
    text = alert(context["ti"], headline)
    subprocess.run(["bash", "-c", shell], input=text, text=True, check=True, timeout=60)


def alert_failure(context):
    """Says that a task failed after its last retry."""
    send(context, f"task {context['ti'].task_id} failed: {context.get('exception') or 'see its log'}")


def alert_no_files(context):
    """Says that nothing came."""
    send(context, "no new files have come and the tables are as they were")


with DAG(
    dag_id="tidewater_card",
    doc_md=f"```text\n{__doc__}```",
    schedule="0 2 * * *",
    start_date=pendulum.datetime(2024, 1, 1, tz="Asia/Seoul"),
    catchup=False,
    max_active_runs=1,
    default_args={
        "owner": "data-engineering",
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(hours=1),
        "on_failure_callback": alert_failure,
    },
    user_defined_filters={"quote": shlex.quote},
    user_defined_macros={"refusal": refusal},
    tags=["tidewater"],
) as dag:
    # Waits only while nothing is new. What is wrong otherwise is for `audit` to say.
    wait_for_files = BashSensor(
        task_id="wait_for_files",
        bash_command=f"""
cd {{{{ var.value.tidewater_card_directory | quote }}}} || exit 0
{command("audit")} --quiet
[ $? -ne 99 ]
""",
        mode="reschedule",
        poke_interval=timedelta(minutes=5),
        timeout=timedelta(hours=1),
        soft_fail=True,
        on_skipped_callback=alert_no_files,
    )
    audit = judged("audit")
    run = judged("run")

    @task.branch
    def quality_gate(summary):
        return "quality_failed" if refused(summary) else "run"

    # Files that came after the audit can be refused by the run.
    @task.branch(trigger_rule=JOIN)
    def run_gate(summary):
        return "quality_failed" if refused(summary) else "end"

    quality_failed = BashOperator(
        task_id="quality_failed",
        trigger_rule=JOIN,
        bash_command=f"""
bash -c {setting("alert", NO_ALERT)} <<< {{{{ refusal(ti) | quote }}}}
""",
    )
    end = EmptyOperator(task_id="end", trigger_rule=JOIN)

    after_audit = quality_gate(audit.output)
    after_run = run_gate(run.output)
    wait_for_files >> audit
    after_audit >> [run, quality_failed]
    # This edge lets the second gate decide where the run found nothing new and was skipped.
    after_audit >> after_run
    after_run >> [end, quality_failed]
    quality_failed >> end
