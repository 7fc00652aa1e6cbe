"""Which faults does production bring, which promise must hold under each, and which tests inject it?

`make chaos` runs them and prints this table with its results; docs/guarantees.md shows it. The tests compare with what
the same events come to without the fault, and prove that the fault happened.
"""

from __future__ import annotations

from dataclasses import dataclass

WORKERS = "tests/chaos/test_workers.py"
NATIVE = "tests/chaos/test_native_races.py"
DATABASE = "tests/chaos/test_database.py"
BROKER = "tests/chaos/test_broker.py"
LOGS = "tests/chaos/test_logs.py"
STOPPED = "tests/ingest/test_stopped_partitions.py"
CLOCKS = "tests/chaos/test_clocks.py"
POISON = "tests/ingest/test_poison.py"
ISOLATION = "tests/ingest/test_isolation.py"
ONCE = "tests/ingest/test_exactly_once.py"
BATCHES = "tests/ingest/test_batches.py"
LETTERS = "tests/ingest/test_dead_letters.py"
DAYS = "tests/closing/test_closing_days.py"
CLOSERS = "tests/closing/test_two_closers.py"
STATE = "tests/ingest/test_state.py"
CLIENT = "tests/sdk/test_client.py"
HOST = "tests/sdk/test_host_process.py"
HOSTS = "tests/sdk/test_hosts.py"
OUTBOX = "tests/sdk/test_outbox.py"
CAPTURE = "tests/closing/test_capture.py::test_a_restated_day_keeps_the_version_that_it_closed_with"


@dataclass(frozen=True)
class Fault:
    """A fault, the promise that it tries (docs/guarantees.md), and the tests, as pytest names them."""

    name: str
    promise: str
    tests: tuple[str, ...]


def _fault(name: str, promise: str, *tests: str) -> Fault:
    return Fault(name, promise, tests)


FAULTS = (
    _fault(
        "kill -9 at each phase of a checkpoint",
        "G2",
        f"{WORKERS}::test_a_worker_killed_at_each_phase_of_a_checkpoint_changes_no_count",
    ),
    _fault(
        "kill -9 at random moments",
        "G2",
        "tests/ingest/test_kill_9.py::test_killed_workers_leave_the_state_of_a_run_without_faults",
    ),
    _fault(
        "workers killed in turn under a steady load, API, bridge and dashboard in use",
        "G1, G2, G3",
        "tests/chaos/test_soak.py::test_workers_killed_in_turn_while_all_is_in_use_change_no_count",
    ),
    _fault(
        "a dead letter sent twice by a crash before its checkpoint",
        "G3",
        f"{WORKERS}::test_a_worker_killed_at_each_phase_of_a_checkpoint_changes_no_count",
    ),
    _fault(
        "a worker frozen past its session timeout, then woken",
        "G4",
        f"{WORKERS}::test_a_frozen_worker_that_wakes_behind_its_successor_writes_nothing",
        f"{ONCE}::test_the_fence_refuses_a_worker_that_has_lost_its_partition",
    ),
    _fault(
        "a worker frozen inside its transaction",
        "G4",
        f"{WORKERS}::test_a_worker_frozen_inside_its_transaction_holds_nobody_up_for_long",
        f"{NATIVE}::test_a_worker_frozen_inside_its_transaction_loses_it_and_its_successor_goes_on",
    ),
    _fault(
        "a claim and a checkpoint that meet in the database",
        "G4",
        f"{NATIVE}::test_a_claim_that_meets_a_checkpoint_waits_for_it_and_reads_on_behind",
        f"{NATIVE}::test_a_checkpoint_that_meets_a_claim_waits_for_it_and_is_refused",
    ),
    _fault(
        "workers that write the same models, days and batches at once",
        "G2",
        f"{NATIVE}::test_workers_that_write_the_same_models_days_and_batches_at_once_count_exactly",
    ),
    _fault(
        "workers added and removed every few seconds",
        "G2",
        f"{WORKERS}::test_workers_that_come_and_go_every_few_seconds_change_no_count",
    ),
    _fault(
        "a batch fetched before a rebalance and delivered after it",
        "G2",
        f"{ONCE}::test_batches_of_an_earlier_claim_are_thrown_away",
    ),
    _fault(
        "a partition that leaves and comes back to the same worker",
        "G2",
        f"{ONCE}::test_a_partition_that_leaves_and_comes_back_to_the_same_worker_is_not_taken_from_its_memory",
    ),
    _fault(
        "the broker killed, away, and back",
        "G1",
        f"{BROKER}::test_a_broker_that_is_killed_and_away_for_minutes_loses_nothing",
        "tests/api/test_bridge_outage.py::test_a_broker_that_was_killed_and_came_back_loses_nothing_answered_ok",
    ),
    _fault(
        "connections to the broker cut, stalled, throttled",
        "G2",
        f"{BROKER}::test_a_worker_whose_connections_to_kafka_are_cut_stalled_and_throttled_counts_exactly",
    ),
    _fault(
        "an acknowledgement lost, and the client's retry",
        "G1, G2",
        f"{BROKER}::test_a_lost_acknowledgement_and_the_clients_retry_count_once",
    ),
    _fault(
        "the broker frozen while the bridge takes events",
        "G9",
        "tests/api/test_bridge_outage.py::test_a_full_buffer_is_a_503_and_memory_stays_bounded",
    ),
    _fault(
        "the database gone",
        "G2, G9",
        f"{DATABASE}::test_a_database_that_is_gone_for_minutes_is_waited_for",
    ),
    _fault(
        "the database slow by 2 s a transaction",
        "G2",
        f"{DATABASE}::test_a_database_that_takes_seconds_for_a_transaction_delays_and_changes_nothing",
    ),
    _fault(
        "the reply to COMMIT lost",
        "G2",
        f"{DATABASE}::test_a_lost_reply_to_commit_counts_nothing_twice",
    ),
    _fault(
        "connections to the database cut at any byte",
        "G2",
        f"{DATABASE}::test_connections_cut_at_any_byte_of_a_checkpoint_leave_it_whole_or_undone",
    ),
    _fault(
        "the database's disk full",
        "G2",
        f"{DATABASE}::test_a_database_whose_disk_is_full_goes_on_when_there_is_room_again",
    ),
    _fault(
        "the database killed",
        "G2",
        "tests/embedded/test_durability.py::test_every_acknowledged_row_survives_kill_9_of_the_server",
    ),
    _fault(
        "the database lost, and restored from a backup",
        "G2, G6",
        f"{DATABASE}::test_a_database_that_is_lost_and_restored_under_its_workers_counts_as_if_it_had_never_been",
        "tests/upgrade/test_archives.py::test_a_backup_and_what_kafka_holds_equal_the_run_that_never_broke",
    ),
    _fault(
        "the same batch in one request, after 6 days, after 8",
        "G2",
        f"{BATCHES}::test_a_retry_in_the_same_fetch_is_counted_once",
        f"{BATCHES}::test_a_retry_is_recognised_after_six_days_and_not_after_eight",
    ),
    _fault(
        "a retry of a batch while the log is days behind, or the clock is wrong",
        "G2",
        f"{BATCHES}::test_a_retry_in_a_partition_that_is_behind_counts_once_whatever_the_clock_says",
    ),
    _fault(
        "a project deleted, or a day purged, in the middle of a checkpoint",
        "G3",
        f"{NATIVE}::test_a_removal_that_meets_a_checkpoint_waits_for_it_and_removes_what_it_wrote",
    ),
    _fault(
        "a project deleted in the middle of a capture",
        "G7",
        f"{NATIVE}::test_a_deletion_that_meets_a_capture_waits_for_it_and_removes_its_baseline",
    ),
    _fault(
        "one batch in two partitions whose checkpoints meet",
        "G2",
        f"{NATIVE}::test_one_batch_in_two_partitions_whose_checkpoints_meet_counts_once",
    ),
    _fault(
        "poison, deeply nested, NaN and Infinity, invalid UTF-8, unknown versions, 10,000 features, megabyte labels",
        "G5",
        f"{POISON}::test_a_strange_record_changes_nothing_around_it",
        f"{LETTERS}::test_poison_is_buried_with_its_reason_and_the_rest_is_folded",
        f"{LETTERS}::test_every_reason_at_once_balances_both_ledgers",
    ),
    _fault(
        "an event that makes the worker's own code fail",
        "G5",
        f"{ISOLATION}::test_events_that_our_own_code_fails_on_are_buried_and_all_others_count",
        "tests/ingest/test_worker_process.py::test_dead_letters_are_in_their_topic_with_the_original_bytes",
    ),
    _fault(
        "counts that the worker's own code fails to write",
        "G5",
        f"{ISOLATION}::test_events_whose_counts_cannot_be_written_are_found_and_buried_as_well",
        f"{ISOLATION}::test_what_no_event_fails_on_alone_stops_its_partition_in_a_sentence",
    ),
    _fault(
        "a flood of poison",
        "G9",
        f"{LETTERS}::test_a_flood_of_poison_waits_for_the_broker_and_not_in_memory",
    ),
    _fault(
        "a million distinct categories",
        "G9",
        f"{POISON}::test_a_million_distinct_categories_are_counted_within_bounds",
    ),
    _fault(
        "oversize bodies and gzip bombs",
        "G9",
        "tests/api/test_bridge.py::test_a_body_that_is_not_what_it_should_be_is_refused",
        "tests/api/test_bridge.py::test_a_body_without_a_length_is_held_to_the_limit_too",
    ),
    _fault(
        "one project's large requests, more than the bridge can judge",
        "G9, G11",
        "tests/api/test_bridge.py"
        "::test_a_project_that_floods_with_large_requests_is_refused_and_another_is_taken_soon",
    ),
    _fault(
        "more requests than the bridge can judge",
        "G1, G9",
        "tests/api/test_bridge.py"
        "::test_requests_beyond_what_is_judged_in_time_are_refused_and_those_answered_ok_are_there",
    ),
    _fault(
        "events out of order and late",
        "G7",
        f"{ONCE}::test_a_late_event_is_merged_into_its_day",
        f"{DAYS}::test_late_events_restate_their_day_once_as_revision_2_with_the_right_numbers",
        f"{DAYS}::test_a_backfill_of_a_past_year_closes_its_days_promptly_and_in_order",
    ),
    _fault(
        "events dated ahead",
        "G7",
        f"{LETTERS}::test_the_future_is_measured_from_the_arrival",
        f"{DAYS}::test_an_event_dated_next_week_closes_nothing",
    ),
    _fault("an idle partition", "G7", f"{DAYS}::test_an_idle_partition_does_not_keep_a_day_open"),
    _fault(
        "a worker killed when a day should close",
        "G7",
        f"{CLOCKS}::test_a_worker_killed_at_the_moment_a_day_should_close_leaves_it_to_the_next",
    ),
    _fault(
        "the wall clock jumps an hour either way",
        "G2, G7",
        f"{CLOCKS}::test_a_wall_clock_that_jumps_an_hour_either_way_moves_no_event",
        f"{CLOSERS}::test_a_lease_that_stands_still_is_taken_over_even_if_the_databases_clock_jumped",
    ),
    _fault(
        "two closers at once",
        "G7",
        f"{CLOSERS}::test_two_closers_that_both_believe_to_lead_close_a_day_once",
        f"{CLOSERS}::test_a_closer_that_lost_the_lease_between_reading_and_writing_writes_nothing",
        f"{NATIVE}::test_a_lease_is_not_taken_from_a_closer_inside_its_transaction_and_its_day_closes_once",
    ),
    _fault(
        "a reader in the middle of a close",
        "G7",
        f"{DAYS}::test_a_reader_never_sees_half_a_day",
    ),
    _fault(
        "a transactional producer's control records at the log's end",
        "G2",
        "tests/ingest/test_worker_process.py::test_transactions_control_records_and_all_hold_nothing_back",
    ),
    _fault(
        "a baseline captured in the middle of a day, late events for a day scored before",
        "G7",
        f"{STATE}::test_a_day_counts_against_the_version_of_its_first_event",
        f"{STATE}::test_a_day_that_began_without_a_baseline_stays_without",
        CAPTURE,
    ),
    _fault(
        "late events into compressed chunks, beyond TimescaleDB's limit",
        "G2",
        "tests/sql/test_compression.py::test_late_state_replaces_rows_of_compressed_chunks",
        "tests/sql/test_compression.py::test_late_traffic_beyond_the_decompression_limit_is_added_by_workers",
    ),
    _fault(
        "the topic created anew, and shrunk",
        "G6",
        f"{LOGS}::test_a_topic_that_was_made_anew_stops_every_partition_until_it_is_accepted",
    ),
    _fault(
        "workers with two topics over one database",
        "G6",
        f"{STOPPED}::test_of_two_first_workers_with_two_topics_one_reads_and_closes",
        f"{NATIVE}::test_of_two_first_claims_with_two_topics_one_waits_for_the_other_and_is_refused",
    ),
    _fault("the topic grown", "G6", f"{LOGS}::test_partitions_that_a_topic_gains_are_read_from_their_start"),
    _fault(
        "the group's offsets reset",
        "G2, G6",
        f"{LOGS}::test_offsets_of_the_group_that_are_reset_change_nothing",
    ),
    _fault(
        "retention passes the fence",
        "G6",
        "tests/ingest/test_worker_process.py"
        "::test_retention_that_passed_the_fence_stops_one_partition_until_it_is_accepted",
        "tests/ingest/test_stopped_partitions.py"
        "::test_a_fence_that_does_not_fit_stops_its_partition_until_the_loss_is_accepted",
    ),
    _fault(
        "a project's zone changed",
        "G7",
        f"{DAYS}::test_after_a_change_of_zone_two_days_of_one_date_close_on_their_own",
        "tests/api/test_projects.py::test_the_open_day_is_cut_where_the_new_zone_begins",
    ),
    _fault(
        "workers of two releases in one group, one of each killed",
        "G2",
        "tests/upgrade/test_neighbours.py"
        "::test_workers_of_two_releases_share_a_topic_and_take_over_from_each_other",
    ),
    _fault(
        "a migration cut off half-way",
        "G2",
        "tests/chaos/test_migrations.py::test_a_migration_cut_off_half_way_is_completed_by_the_next",
        "tests/sql/test_migrate.py::test_a_migrator_killed_inside_a_file_leaves_nothing_of_it",
    ),
    _fault(
        "a part of a worker fails for good",
        "G10",
        f"{CLOCKS}::test_a_worker_of_which_a_part_fails_for_good_ends_and_the_next_goes_on",
    ),
    _fault(
        "a worker that gets nowhere",
        "G10",
        "tests/ingest/test_watchdog.py::test_standing_still_behind_the_log_ends_the_worker",
        "tests/ingest/test_watchdog.py::test_an_event_loop_that_hangs_ends_it",
    ),
    _fault(
        "a batch lost between Kafka's client and the fold, and none after it",
        "G10",
        "tests/ingest/test_worker_process.py"
        "::test_a_batch_that_was_lost_on_its_way_is_read_again_although_none_follows",
    ),
    _fault(
        "the SDK with a dead bridge",
        "G8",
        f"{CLIENT}::test_a_dead_bridge_fills_the_queue_and_nothing_else",
        f"{CLIENT}::test_a_bridge_that_comes_back_gets_everything",
        f"{HOSTS}::test_an_exit_enters_no_wait_for_a_server_that_is_known_to_be_gone",
    ),
    _fault(
        "the SDK after a fork",
        "G8",
        f"{HOST}::test_a_forked_child_starts_empty_and_both_send_their_own",
        f"{HOST}::test_a_fork_in_the_middle_of_sending_hangs_nobody",
    ),
    _fault("the SDK under gunicorn", "G8", f"{HOSTS}::test_gunicorn_with_preload"),
    _fault("the SDK at SIGTERM", "G8", f"{HOSTS}::test_a_process_ends_as_it_would_without_us"),
    _fault(
        "the SDK with a full queue",
        "G8",
        f"{OUTBOX}::test_a_full_queue_loses_the_newest_and_counts_it",
        f"{HOSTS}::test_the_server_learns_of_a_queue_that_was_full",
    ),
)
