"""What guards against each fault, so that the fault's test goes red when it is taken out?

`python -m tests.chaos.unguarded` takes them out.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.chaos.faults import (
    BATCHES,
    BROKER,
    CAPTURE,
    CLIENT,
    CLOCKS,
    CLOSERS,
    DATABASE,
    DAYS,
    HOST,
    HOSTS,
    ISOLATION,
    LETTERS,
    LOGS,
    NATIVE,
    ONCE,
    OUTBOX,
    POISON,
    STATE,
    STOPPED,
    WORKERS,
)


@dataclass(frozen=True)
class Guard:
    """What is taken out: `text` of `file` becomes `without`, and each of `tests` must fail."""

    name: str
    file: str
    text: str
    without: str
    tests: tuple[str, ...]


def _guard(name: str, file: str, text: str, without: str, *tests: str) -> Guard:
    return Guard(name, file, text, without, tests)


GUARDS = (
    _guard(
        "a checkpoint writes only at the epoch and offset of its claim",
        "stream/store/fence.py",
        'and epoch = $3 and next_offset = $4"""',
        'and $3::bigint > 0 and $4::bigint >= 0"""',
        f"{ONCE}::test_the_fence_refuses_a_worker_that_has_lost_its_partition",
        f"{WORKERS}::test_a_frozen_worker_that_wakes_behind_its_successor_writes_nothing",
        f"{NATIVE}::test_a_checkpoint_that_meets_a_claim_waits_for_it_and_is_refused",
    ),
    _guard(
        "a claim reads on where the fence is, not at the log's end",
        "stream/ingest/claims.py",
        "at = known.next_offset",
        "at = logs[number].end",
        f"{WORKERS}::test_workers_that_come_and_go_every_few_seconds_change_no_count",
        f"{BROKER}::test_a_broker_that_is_killed_and_away_for_minutes_loses_nothing",
        f"{LOGS}::test_offsets_of_the_group_that_are_reset_change_nothing",
    ),
    _guard(
        "`ok` waits for the broker's acknowledgement",
        "api/bridge/producer.py",
        'enable_idempotence=True,\n                acks="all",',
        "acks=0,",
        "tests/api/test_bridge_outage.py::test_a_broker_that_was_killed_and_came_back_loses_nothing_answered_ok",
    ),
    _guard(
        "each project has a line of its own at the bridge",
        "api/bridge/bridge.py",
        "self._lines.turn(len(raws), holder)",
        'self._lines.turn(len(raws), "")',
        (
            "tests/api/test_bridge.py"
            "::test_a_project_that_floods_with_large_requests_is_refused_and_another_is_taken_soon"
        ),
    ),
    _guard(
        "requests that wait too long let no more in",
        "api/bridge/turns.py",
        "if self._turns.waited_s(holder) > LONGEST_S:",
        "if False:",
        (
            "tests/api/test_bridge.py"
            "::test_requests_beyond_what_is_judged_in_time_are_refused_and_those_answered_ok_are_there"
        ),
    ),
    _guard(
        "a batch of an earlier claim is thrown away",
        "stream/ingest/ingestion.py",
        "if partition.epoch != batch.epoch:",
        "if False:",
        f"{ONCE}::test_batches_of_an_earlier_claim_are_thrown_away",
    ),
    _guard(
        "a claim empties the partition's memory",
        "stream/ingest/claims.py",
        "self._cache.drop(number)",
        "pass",
        f"{ONCE}::test_a_partition_that_leaves_and_comes_back_to_the_same_worker_is_not_taken_from_its_memory",
    ),
    _guard(
        "a failed checkpoint gives up the partition's memory",
        "stream/ingest/ingestion.py",
        "self.claims.give_up(partition, after_s=RETRY_S)",
        "pass",
        f"{DATABASE}::test_a_lost_reply_to_commit_counts_nothing_twice",
        f"{DATABASE}::test_a_database_that_is_gone_for_minutes_is_waited_for",
        f"{DATABASE}::test_connections_cut_at_any_byte_of_a_checkpoint_leave_it_whole_or_undone",
        f"{DATABASE}::test_a_database_whose_disk_is_full_goes_on_when_there_is_room_again",
    ),
    _guard(
        "a late event's day is loaded before it is written",
        "stream/ingest/folding.py",
        "if key in sketches:",
        "if False:",
        f"{ONCE}::test_a_late_event_is_merged_into_its_day",
    ),
    _guard(
        "a batch that another partition took first is refused",
        "stream/store/batches.py",
        "if len(noted) < len(rows):",
        "if False:",
        f"{NATIVE}::test_one_batch_in_two_partitions_whose_checkpoints_meet_counts_once",
        f"{NATIVE}::test_workers_that_write_the_same_models_days_and_batches_at_once_count_exactly",
    ),
    _guard(
        "a retry is known for 7 days",
        "stream/store/batches.py",
        "KEPT = timedelta(days=7)",
        "KEPT = timedelta(days=5)",
        f"{BATCHES}::test_a_retry_is_recognised_after_six_days_and_not_after_eight",
    ),
    _guard(
        "batches are forgotten by the broker's time",
        "stream/closing/housekeeping.py",
        "min(now, newest) - SEEN_BATCHES_FOR",
        "now - SEEN_BATCHES_FOR",
        f"{BATCHES}::test_a_retry_in_a_partition_that_is_behind_counts_once_whatever_the_clock_says",
    ),
    _guard(
        "nesting too deep is a dead letter",
        "sdk/ml_guard/decoding.py",
        "RecursionError",
        "ZeroDivisionError",
        f"{POISON}::test_a_strange_record_changes_nothing_around_it",
    ),
    _guard(
        "an event that our own code fails on is looked for and buried",
        "stream/ingest/isolation.py",
        "if self.tries < TRIES:",
        "if True:",
        f"{ISOLATION}::test_events_that_our_own_code_fails_on_are_buried_and_all_others_count",
        "tests/ingest/test_worker_process.py::test_dead_letters_are_in_their_topic_with_the_original_bytes",
    ),
    _guard(
        "folds try what a checkpoint has failed on",
        "stream/ingest/ingestion.py",
        "if not self._isolations[partition.number].be_careful(partition):",
        "if True:",
        f"{ISOLATION}::test_events_whose_counts_cannot_be_written_are_found_and_buried_as_well",
    ),
    _guard(
        "a partition whose failure shows at no event stops",
        "stream/ingest/isolation.py",
        "return self.in_vain_at == partition.written",
        "return False",
        f"{ISOLATION}::test_what_no_event_fails_on_alone_stops_its_partition_in_a_sentence",
    ),
    _guard(
        "dead letters that wait for the broker are bounded",
        "stream/ingest/ingestion.py",
        "or partition.work.dead_bytes > DEAD_BYTES",
        "or False",
        f"{LETTERS}::test_a_flood_of_poison_waits_for_the_broker_and_not_in_memory",
    ),
    _guard(
        "a feature's labels have a map of fixed size",
        "stream/sketches.py",
        "math.ceil(math.log2(4 * labels / 3))",
        "21",
        f"{POISON}::test_a_million_distinct_categories_are_counted_within_bounds",
    ),
    _guard(
        "the future begins behind the arrival, not behind this worker's clock",
        "stream/ingest/folding.py",
        "int(self._settings.future_s * 1_000_000), oldest",
        'int(self._settings.future_s * 1_000_000) + to_us(self._clock()) - __import__("time").time_ns() // 1000, oldest',
        f"{CLOCKS}::test_a_wall_clock_that_jumps_an_hour_either_way_moves_no_event",
    ),
    _guard(
        "a lease that stands still is taken over by the monotonic clock",
        "stream/closing/lease.py",
        "return seen if now_s - self._seen_since_s > self._lasts.total_seconds() else None",
        "return None",
        f"{CLOSERS}::test_a_lease_that_stands_still_is_taken_over_even_if_the_databases_clock_jumped",
    ),
    _guard(
        "a closer writes only under its lease",
        "stream/store/lease.py",
        "if held is None:",
        "if False:",
        f"{CLOSERS}::test_two_closers_that_both_believe_to_lead_close_a_day_once",
    ),
    _guard(
        "a day closes when every fence has passed its barrier",
        "stream/closing/steps.py",
        "if offset > (",
        "if offset > 10**9 + (",
        f"{CLOCKS}::test_a_worker_killed_at_the_moment_a_day_should_close_leaves_it_to_the_next",
    ),
    _guard(
        "a day's final rows are one transaction",
        "stream/closing/close.py",
        "async with connection.transaction():\n                await fence(connection, lease)",
        "if True:\n                await fence(connection, lease)",
        f"{DAYS}::test_a_reader_never_sees_half_a_day",
    ),
    _guard(
        "a day keeps the bins of its first event",
        "stream/ingest/folding.py",
        "frozen = bins[pinned[key]] if key in pinned else {}",
        "frozen = self._catalog.active_bins(group.model, group.day.day)[1]",
        f"{STATE}::test_a_day_counts_against_the_version_of_its_first_event",
    ),
    _guard(
        "workers have no limit of decompression",
        "stream/store/pool.py",
        '"timescaledb.max_tuples_decompressed_per_dml_transaction": "0",',
        '"timescaledb.max_tuples_decompressed_per_dml_transaction": "100",',
        "tests/sql/test_compression.py::test_late_traffic_beyond_the_decompression_limit_is_added_by_workers",
    ),
    _guard(
        "a database is of one topic: who claims sees that",
        "stream/ingest/claims.py",
        "            await require_topic(connection, self.topic)\n",
        "",
        f"{STOPPED}::test_of_two_first_workers_with_two_topics_one_reads_and_closes",
    ),
    _guard(
        "a database is of one topic: who closes sees that",
        "stream/closing/close.py",
        "            await require_topic(connection, self.topic)\n            current",
        "            current",
        f"{STOPPED}::test_of_two_first_workers_with_two_topics_one_reads_and_closes",
    ),
    _guard(
        "first claims of two topics take turns",
        "stream/ingest/claims.py",
        "            await take_turns(connection)\n",
        "",
        f"{NATIVE}::test_of_two_first_claims_with_two_topics_one_waits_for_the_other_and_is_refused",
    ),
    _guard(
        "a log that was made anew does not fit its fence",
        "stream/ingest/misfit.py",
        "known.log_identity != log.identity:",
        "False:",
        f"{LOGS}::test_a_topic_that_was_made_anew_stops_every_partition_until_it_is_accepted",
    ),
    _guard(
        "retention that passed the fence stops the partition",
        "stream/ingest/misfit.py",
        "if known.next_offset < log.first:",
        "if False:",
        (
            "tests/ingest/test_stopped_partitions.py"
            "::test_a_fence_that_does_not_fit_stops_its_partition_until_the_loss_is_accepted"
        ),
        (
            "tests/ingest/test_worker_process.py"
            "::test_retention_that_passed_the_fence_stops_one_partition_until_it_is_accepted"
        ),
    ),
    _guard(
        "a migration is one transaction",
        "stream/migrate.py",
        "async with connection.transaction():\n            if await",
        "if True:\n            if await",
        "tests/chaos/test_migrations.py::test_a_migration_cut_off_half_way_is_completed_by_the_next",
        "tests/sql/test_migrate.py::test_a_migrator_killed_inside_a_file_leaves_nothing_of_it",
    ),
    _guard(
        "a worker without progress ends",
        "stream/ingest/watchdog.py",
        "elif now - self._progress_at > self._patience_s:",
        "elif False:",
        "tests/ingest/test_watchdog.py::test_standing_still_behind_the_log_ends_the_worker",
    ),
    _guard(
        "state, ledgers and offset are one transaction",
        "stream/ingest/checkpoint.py",
        "async with pool.acquire() as connection, connection.transaction():",
        "async with pool.acquire() as connection:",
        f"{WORKERS}::test_a_worker_killed_at_each_phase_of_a_checkpoint_changes_no_count",
        "tests/ingest/test_kill_9.py::test_killed_workers_leave_the_state_of_a_run_without_faults",
    ),
    _guard(
        "the database ends a session that idles in a transaction",
        "stream/store/pool.py",
        'f"{IDLE_IN_TRANSACTION_S}s"',
        '"0"',
        f"{NATIVE}::test_a_worker_frozen_inside_its_transaction_loses_it_and_its_successor_goes_on",
    ),
    _guard(
        "a batch that was seen is left out",
        "stream/ingest/folding.py",
        "if before is not None and at - before <= kept_us:",
        "if False:",
        f"{BROKER}::test_a_lost_acknowledgement_and_the_clients_retry_count_once",
    ),
    _guard(
        "what the bridge holds is bounded",
        "api/bridge/budget.py",
        " + size > self.most",
        " + size > 10**12 + self.most",
        "tests/api/test_bridge_outage.py::test_a_full_buffer_is_a_503_and_memory_stays_bounded",
    ),
    _guard(
        "a body without a length is counted as it comes",
        "api/bridge/body.py",
        "if self._taken + size > self._most:",
        "if False:",
        "tests/api/test_bridge.py::test_a_body_without_a_length_is_held_to_the_limit_too",
    ),
    _guard(
        "what is too far ahead is refused",
        "stream/ingest/sorting.py",
        "early = instants <= ",
        "early = 0 * instants <= ",
        f"{LETTERS}::test_the_future_is_measured_from_the_arrival",
    ),
    _guard(
        "a partition without new records has passed the barrier",
        "stream/closing/steps.py",
        "if offset > (",
        "if offset >= (",
        f"{DAYS}::test_an_idle_partition_does_not_keep_a_day_open",
    ),
    _guard(
        "control records are passed over",
        "stream/ingest/records.py",
        "return bool(batch.is_control_batch)",
        "return False",
        "tests/ingest/test_worker_process.py::test_transactions_control_records_and_all_hold_nothing_back",
    ),
    _guard(
        "the topic's partitions are asked for again and again",
        "stream/ingest/transport.py",
        "metadata_max_age_ms=30_000",
        "metadata_max_age_ms=3_600_000",
        f"{LOGS}::test_partitions_that_a_topic_gains_are_read_from_their_start",
    ),
    _guard(
        "a worker ends with any of its parts",
        "stream/app.py",
        "asyncio.wait([stop, *tasks], return",
        "asyncio.wait([stop], return",
        f"{CLOCKS}::test_a_worker_of_which_a_part_fails_for_good_ends_and_the_next_goes_on",
    ),
    _guard(
        "a capture holds its project before its model",
        "stream/store/baselines.py",
        'await connection.execute("select from ml_guard.project where project_id = $1 for share", project_id)',
        "",
        f"{NATIVE}::test_a_deletion_that_meets_a_capture_waits_for_it_and_removes_its_baseline",
    ),
    _guard(
        "a partition that lies still is claimed again",
        "stream/app.py",
        "claims.go_on(stalls.found(claims.partitions, records, time.monotonic()))",
        "pass",
        (
            "tests/ingest/test_worker_process.py"
            "::test_a_batch_that_was_lost_on_its_way_is_read_again_although_none_follows"
        ),
    ),
    _guard(
        "what could not be sent is sent again",
        "sdk/ml_guard/delivery.py",
        "if error.retriable and not",
        "if False and not",
        f"{CLIENT}::test_a_bridge_that_comes_back_gets_everything",
    ),
    _guard(
        "a server that is gone is not waited for at the end",
        "sdk/ml_guard/delivery.py",
        "return EXIT_TIMEOUT_WHEN_GONE_S if self._gone else EXIT_TIMEOUT_S",
        "return EXIT_TIMEOUT_S",
        f"{HOSTS}::test_an_exit_enters_no_wait_for_a_server_that_is_known_to_be_gone",
    ),
    _guard(
        "a forked child starts empty",
        "sdk/ml_guard/outbox.py",
        "        outbox._forked()\n",
        "        pass\n",
        f"{HOST}::test_a_forked_child_starts_empty_and_both_send_their_own",
        f"{HOST}::test_a_fork_in_the_middle_of_sending_hangs_nobody",
        f"{HOSTS}::test_gunicorn_with_preload",
    ),
    _guard(
        "what is left is sent when the process ends",
        "sdk/ml_guard/outbox.py",
        "at_exit(_close_all)\n",
        "",
        f"{HOSTS}::test_a_process_ends_as_it_would_without_us",
    ),
    _guard(
        "the queue is bounded",
        "sdk/ml_guard/outbox.py",
        "waiting + events <= self._max_events",
        "True",
        f"{OUTBOX}::test_a_full_queue_loses_the_newest_and_counts_it",
        f"{CLIENT}::test_a_dead_bridge_fills_the_queue_and_nothing_else",
        f"{HOSTS}::test_the_server_learns_of_a_queue_that_was_full",
    ),
    _guard(
        "a day that began without a baseline has none when it is loaded again",
        "stream/ingest/folding.py",
        "frozen = bins[pinned[key]] if key in pinned else {}",
        (
            """active, frozen = self._catalog.active_bins(group.model, group.day.day)
                sketches[key] = [row._replace(baseline_version=row.baseline_version or active) for row in sketches[key]]
                frozen = bins[pinned[key]] if key in pinned else frozen"""
        ),
        f"{STATE}::test_a_day_that_began_without_a_baseline_stays_without",
    ),
    _guard(
        "a day stays with the version that it closed with",
        "stream/closing/reading.py",
        "wanted: int | None = previous.baseline_version",
        "wanted: int | None = state.pinned_version",
        CAPTURE,
    ),
    _guard(
        "a day that closed without a version stays without",
        "stream/closing/reading.py",
        "if previous.baseline_version is None:",
        "if False:",
        CAPTURE,
    ),
    _guard(
        "a change of zone cuts the day",
        "stream/days.py",
        "end = min(end, self._starts[segment + 1])",
        "pass",
        f"{DAYS}::test_after_a_change_of_zone_two_days_of_one_date_close_on_their_own",
    ),
    _guard(
        "the closing of an open day waits for its new end",
        "stream/store/projects.py",
        'if end != row["day_end"]:',
        "if False:",
        "tests/api/test_projects.py::test_the_open_day_is_cut_where_the_new_zone_begins",
    ),
    _guard(
        "the watchdog is a thread beside the event loop",
        "stream/ingest/watchdog.py",
        'threading.Thread(target=self._watch, name="watchdog", daemon=True).start()',
        "pass",
        "tests/ingest/test_watchdog.py::test_an_event_loop_that_hangs_ends_it",
    ),
    _guard(
        "a removal takes every partition from its holder",
        "stream/store/deletion.py",
        "update ml_guard.stream_fence set epoch = epoch + 1",
        "update ml_guard.stream_fence set epoch = epoch",
        f"{NATIVE}::test_a_removal_that_meets_a_checkpoint_waits_for_it_and_removes_what_it_wrote",
    ),
    _guard(
        "a removal waits for checkpoints that have begun",
        "stream/store/purge.py",
        "        await fence_off(connection)\n",
        "",
        f"{NATIVE}::test_a_removal_that_meets_a_checkpoint_waits_for_it_and_removes_what_it_wrote",
    ),
    _guard(
        "the embedded database writes a commit out before it answers",
        "embedded/database/settings.mjs",
        "  timezone: 'UTC',\n",
        "  timezone: 'UTC',\n  synchronous_commit: 'off',\n",
        "tests/embedded/test_durability.py::test_every_acknowledged_row_survives_kill_9_of_the_server",
    ),
    _guard(
        "a restore gives numbers beyond all that were given",
        "stream/store/tables.py",
        "select (extract(epoch from now()) * 1000)::bigint",
        "select 0::bigint",
        "tests/upgrade/test_archives.py::test_a_backup_and_what_kafka_holds_equal_the_run_that_never_broke",
    ),
    _guard(
        "a claim fences off whoever held the partition",
        "stream/store/fence.py",
        "epoch = f.epoch + 1, owner",
        "epoch = f.epoch, owner",
        f"{NATIVE}::test_a_claim_that_meets_a_checkpoint_waits_for_it_and_reads_on_behind",
    ),
    _guard(
        "a batch is known as soon as it is read",
        "stream/ingest/folding.py",
        "else:\n                    known[key] = at",
        "else:\n                    pass",
        f"{BATCHES}::test_a_retry_in_the_same_fetch_is_counted_once",
    ),
    _guard(
        "a checkpoint writes the index of its dead letters",
        "stream/ingest/checkpoint.py",
        "await dead_letters.note_dead(connection, self.letters)",
        "pass",
        f"{LETTERS}::test_poison_is_buried_with_its_reason_and_the_rest_is_folded",
    ),
    _guard(
        "the ledger counts what is buried",
        "stream/ingest/work.py",
        'self.ledger[letter.project_id or "", letter.day_start_us][1] += 1',
        "pass",
        f"{LETTERS}::test_every_reason_at_once_balances_both_ledgers",
    ),
    _guard(
        "a packed body is counted as it unpacks",
        "api/bridge/body.py",
        "async for part in gunzipped(self._packed()):\n            self._hold(len(part))",
        "async for part in gunzipped(self._packed()):\n            pass",
        "tests/api/test_bridge.py::test_a_body_that_is_not_what_it_should_be_is_refused",
    ),
    _guard(
        "late events restate a day once it is quiet",
        "stream/closing/steps.py",
        "return NOTE_BARRIER if _settled(day.reopened_at, day.last_change_at, now, rules) else WAIT",
        "return NOTE_BARRIER",
        f"{DAYS}::test_late_events_restate_their_day_once_as_revision_2_with_the_right_numbers",
    ),
    _guard(
        "a pass of the closer reads every day that waits",
        "stream/closing/close.py",
        "if len(page) < DAYS_A_PAGE:",
        "if True:",
        f"{DAYS}::test_a_backfill_of_a_past_year_closes_its_days_promptly_and_in_order",
    ),
    _guard(
        "a closer writes only under its lease",
        "stream/closing/close.py",
        "await fence(connection, lease)",
        "pass",
        f"{CLOSERS}::test_a_closer_that_lost_the_lease_between_reading_and_writing_writes_nothing",
    ),
    _guard(
        "a closer's transaction holds the lease",
        "stream/store/lease.py",
        '"select epoch from ml_guard.lease where name = $1 and epoch = $2 for update"',
        '"select epoch from ml_guard.lease where name = $1 and epoch = $2"',
        f"{NATIVE}::test_a_lease_is_not_taken_from_a_closer_inside_its_transaction_and_its_day_closes_once",
    ),
    _guard(
        "late state replaces what is stored",
        "stream/store/state.py",
        "    n = excluded.n, non_finite = excluded.non_finite,",
        "    non_finite = excluded.non_finite,",
        "tests/sql/test_compression.py::test_late_state_replaces_rows_of_compressed_chunks",
    ),
    _guard(
        "days close by the clock, not by the newest event",
        "stream/closing/close.py",
        "self.clock()",
        '(self.clock() + __import__("datetime").timedelta(days=7))',
        f"{DAYS}::test_an_event_dated_next_week_closes_nothing",
    ),
    _guard(
        "a backup holds the fences",
        "stream/store/tables.py",
        '_NOT_ARCHIVED = ("migration",)',
        '_NOT_ARCHIVED = ("migration", "stream_fence")',
        f"{DATABASE}::test_a_database_that_is_lost_and_restored_under_its_workers_counts_as_if_it_had_never_been",
    ),
    _guard(
        "a heartbeat finds out that a partition was taken away",
        "stream/ingest/claims.py",
        "if number not in own and partition is not None",
        "if False and partition is not None",
        f"{DATABASE}::test_a_database_that_is_lost_and_restored_under_its_workers_counts_as_if_it_had_never_been",
    ),
    _guard(
        "a day that an earlier claim began is loaded before it is written",
        "stream/ingest/folding.py",
        "if key in sketches:",
        "if False:",
        "tests/chaos/test_soak.py::test_workers_killed_in_turn_while_all_is_in_use_change_no_count",
        "tests/upgrade/test_neighbours.py::test_workers_of_two_releases_share_a_topic_and_take_over_from_each_other",
        f"{BROKER}::test_a_worker_whose_connections_to_kafka_are_cut_stalled_and_throttled_counts_exactly",
    ),
    _guard(
        "what is folded during a commit belongs to the next",
        "stream/ingest/checkpoint.py",
        "        self.partition.written = self.hi\n",
        "        self.partition.written = self.hi\n        self.partition.work = Work()\n",
        f"{DATABASE}::test_a_database_that_takes_seconds_for_a_transaction_delays_and_changes_nothing",
    ),
    _guard(
        "a client that idles in a transaction of the embedded database is ended",
        "embedded/database/scheduler.mjs",
        "const deadlines = [{ at: this.#idleSince + Math.min(...limits), session: holder }];",
        "const deadlines = [];",
        f"{WORKERS}::test_a_worker_frozen_inside_its_transaction_holds_nobody_up_for_long",
    ),
)
