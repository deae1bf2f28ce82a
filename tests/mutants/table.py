"""Every protection, how it is taken out, and the tests that must notice."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """One protection that is taken out: in `file`, `old` becomes `new`; one of `tests` must fail then."""

    name: str
    file: str
    old: str
    """Stands there exactly once."""
    new: str
    tests: tuple[str, ...]
    """As pytest takes them."""

    def applied_to(self, source: str) -> str:
        """The file's text without the protection; raises ValueError where it is not found exactly once."""
        if source.count(self.old) != 1:
            raise ValueError(f"{self.name}: found {source.count(self.old)} times in {self.file}: {self.old!r}")
        return source.replace(self.old, self.new)


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a-server-that-has-just-started-takes-living-jobs",
        "emulator/runpod_emulator/world/heartbeat.py",
        "if now >= self._beats_since + self._between:",
        "if now >= self._beats_since:",
        (
            "tests/world/test_store_away.py::test_a_server_that_has_just_started_gives_up_nobody_who_had_no_time_to_beat",
        ),
    ),
    Mutant(
        "the-management-api-shows-secrets-of-the-configuration",
        "emulator/runpod_emulator/doors/management/showing.py",
        "self._world.masks.value(env) if self._deployment.is_ours else env",
        "env",
        ("tests/doors/management/test_serverless.py::test_variables_of_the_configuration_are_shown_without_secrets",),
    ),
    Mutant(
        "the-management-api-opens-without-a-key",
        "emulator/runpod_emulator/doors/management/guard.py",
        "            check(request, state)\n",
        "",
        ("tests/doors/management/test_serverless.py::test_who_has_no_key_is_refused",),
    ),
    Mutant(
        "a-write-whose-answer-is-lost-is-nobodys",
        "emulator/runpod_emulator/stores/redis/jobs.py",
        "if written_by == token.encode():",
        "if written_by == token:",
        ("tests/stores/test_away.py::test_a_claim_of_several_whose_answer_is_lost_has_them_all",),
    ),
    Mutant(
        "a-result-is-lost-while-the-store-is-away",
        "emulator/runpod_emulator/core/endpoint/work.py",
        "await self.engine.change(job_id, event, at, patient=True)",
        "await self.engine.change(job_id, event, at)",
        (
            "tests/world/test_store_away.py::test_a_report_of_our_own_worker_is_kept_and_delivered_when_the_store_is_back",
        ),
    ),
    Mutant(
        "a-test-reaches-the-real-service",
        "emulator/runpod_emulator/plugin/guard.py",
        "        self._refused.append(message)\n        raise RealServiceCalled(message)",
        "",
        ("tests/plugin/test_guard.py::test_a_request_to_the_service_is_refused_and_remembered",),
    ),
    Mutant(
        "a-test-names-the-real-service-to-a-proxy",
        "emulator/runpod_emulator/plugin/ask.py",
        "        if host is not None:\n            check(host, port)",
        "        del host, port",
        ("tests/plugin/test_ask.py::test_tls_is_asked_whatever_the_form_of_the_call",),
    ),
    Mutant(
        "aiohttp-that-is-mocked-eats-webhooks",
        "emulator/runpod_emulator/effects/unmocked.py",
        'vars(session)["_request"] = types.MethodType(_SEND, session)',
        "pass",
        ("tests/http/test_unmocked.py",),
    ),
    Mutant(
        "a-flood-that-is-refused-is-waited-for",
        "emulator/runpod_emulator/http/bodies.py",
        " and self._waited_for < _AT_ONCE",
        "",
        ("tests/http/test_bodies.py::test_of_a_flood_few_are_waited_for",),
    ),
    Mutant(
        "who-is-refused-is-read-for-ever",
        "emulator/runpod_emulator/http/bodies.py",
        "return self.is_whole or self.is_lost or self.size > LONGEST_BODY",
        "return self.is_whole or self.is_lost",
        ("tests/http/test_bodies.py::test_no_more_is_read_than_is_kept",),
    ),
    Mutant(
        "any-key-is-a-client",
        "emulator/runpod_emulator/http/access.py",
        "raise InvalidKey",
        "return",
        ("tests/http/test_access.py::test_a_wrong_key_is_refused_on_every_route",),
    ),
    Mutant(
        "any-machine-is-this-one",
        "emulator/runpod_emulator/doors/admin/app.py",
        "raise RemoteAdmin",
        "return",
        ("tests/doors/admin/test_admin_api.py",),
    ),
    Mutant(
        "no-origin-check",
        "emulator/runpod_emulator/doors/own_door.py",
        "    _check_page(scope, hosts, names)\n",
        "    pass\n",
        ("tests/security/test_own_door.py::test_no_other_page_is_let_in",),
    ),
    Mutant(
        "no-host-check",
        "emulator/runpod_emulator/doors/own_door.py",
        '        _check_host(hosts, scope["path"], names)\n',
        "        pass\n",
        ("tests/security/test_own_door.py::test_it_answers_to_no_other_name",),
    ),
    Mutant(
        "webhooks-come-in",
        "emulator/runpod_emulator/doors/own_door.py",
        "== CALLER and not is_hook",
        "== CALLER and False",
        ("tests/security/test_webhooks.py::test_no_webhook_comes_in",),
    ),
    Mutant(
        "pages-of-strangers-are-served",
        "emulator/runpod_emulator/doors/pages.py",
        '    state = scope["app"].state\n    if',
        '    state = scope["app"].state\n    return False\n    if',
        ("tests/security/test_strange_pages.py",),
    ),
    Mutant(
        "addresses-of-workers-can-be-opened",
        "emulator/runpod_emulator/doors/pages.py",
        " and verb_in(scope) in _FOR_WORKERS:",
        " and False:",
        ("tests/security/test_strange_pages.py::test_no_address_that_a_browser_is_led_to_changes_anything",),
    ),
    Mutant(
        "addresses-that-are-opened-change-things",
        "emulator/runpod_emulator/doors/pages.py",
        "    return opens and is_get and only_shows\n",
        "    return opens and is_get\n",
        ("tests/security/test_strange_pages.py::test_no_address_that_a_browser_is_led_to_changes_anything",),
    ),
    Mutant(
        "browsers-that-do-not-say-for-whom",
        "emulator/runpod_emulator/doors/pages.py",
        "    return may_be_browser(headers) and",
        "    return False and",
        ("tests/security/test_strange_pages.py::test_no_address_that_a_browser_is_led_to_changes_anything",),
    ),
    Mutant(
        "a-password-in-an-address-is-a-key",
        "emulator/runpod_emulator/doors/pages.py",
        '    return not headers.get(b"authorization", b"basic").lower().startswith(b"basic")\n',
        '    return b"authorization" in headers\n',
        ("tests/security/test_strange_pages.py",),
    ),
    Mutant(
        "browsers-take-the-short-cut",
        "emulator/runpod_emulator/http/routing.py",
        "    return not _OF_BROWSERS.isdisjoint(headers) or may_be_browser(headers)\n",
        '    return b"origin" in headers\n',
        ("tests/security/test_strange_pages.py",),
    ),
    Mutant(
        "workers-inherit-keys-in-small-letters",
        "emulator/runpod_emulator/workers/environment.py",
        "if not name.lower().startswith(_KEYS_OF_SERVER)",
        "if not name.startswith(_KEYS_OF_SERVER)",
        ("tests/workers/test_environment.py::test_no_key_of_the_server_is_passed_on",),
    ),
    Mutant(
        "true-is-a-number",
        "emulator/runpod_emulator/values.py",
        "            if kinds & {int, float} and not kinds & {bool, Any}:\n",
        "            if False:\n",
        ("tests/doors/admin/test_bounds.py",),
    ),
    Mutant(
        "port-files-of-others-go",
        "emulator/runpod_emulator/server/port_file.py",
        "if self._is_file and not _is_locked(self._path):",
        "if self._is_file:",
        ("tests/server/test_port_file.py::test_the_file_of_a_server_that_runs_is_not_stale",),
    ),
    Mutant(
        "webhooks-go-anywhere",
        "emulator/runpod_emulator/effects/http_post.py",
        "if self._reach.is_limited and (problem",
        "if False and (problem",
        ("tests/security/test_webhooks.py::test_webhooks_reach_what_they_may",),
    ),
    Mutant(
        "pages-without-a-policy",
        "emulator/runpod_emulator/http/shield.py",
        "in SHIELD.items():",
        "in ():",
        ("tests/security/test_own_door.py",),
    ),
    Mutant(
        "no-mask",
        "emulator/runpod_emulator/core/secrets/texts.py",
        '    return HIDDEN + (secret[-_SHOWN:] if len(secret) >= _LONG else "")\n',
        "    return secret\n",
        (
            "tests/core/secrets/test_masks.py",
            "tests/security/test_secrets.py",
        ),
    ),
    Mutant(
        "secrets-in-the-log",
        "emulator/runpod_emulator/server/log.py",
        "            self._secrets.filter(record)\n",
        "            pass\n",
        ("tests/server/test_log.py::test_no_line_and_no_traceback_shows_a_secret",),
    ),
    Mutant(
        "secrets-in-the-journal",
        "emulator/runpod_emulator/doors/admin/shapes.py",
        "    return masks.value(parsed)\n",
        "    return parsed\n",
        ("tests/testing/test_emulator.py",),
    ),
    Mutant(
        "no-worker-key-of-its-own",
        "emulator/runpod_emulator/doors/worker.py",
        "            _check_key(request)\n",
        "            pass\n",
        ("tests/security/test_worker_door.py::test_with_an_api_key_a_worker_needs_a_key_that_no_client_has",),
    ),
    Mutant(
        "workers-from-outside",
        "emulator/runpod_emulator/doors/worker.py",
        "kind in _OWN_WORKERS",
        "False",
        ("tests/security/test_worker_door.py::test_an_endpoint_with_workers_of_its_own_takes_none_from_outside",),
    ),
    Mutant(
        "a-head-without-end",
        "emulator/runpod_emulator/http/bounded.py",
        "LONGEST_HEAD = 64 * 1024",
        "LONGEST_HEAD = 1 << 40",
        ("tests/security/test_connections.py::test_64_kib_of_head_are_the_most",),
    ),
    Mutant(
        "a-pipeline-without-end",
        "emulator/runpod_emulator/http/bounded.py",
        "_MOST_AHEAD, _MOST_BYTES_AHEAD = 64, 1 << 20",
        "_MOST_AHEAD, _MOST_BYTES_AHEAD = 1 << 40, 1 << 40",
        ("tests/security/test_connections.py::test_answers_that_nobody_reads_stop_the_reading",),
    ),
    Mutant(
        "frames-in-one-go",
        "emulator/runpod_emulator/http/frames.py",
        "_PIECE = 16 * 1024",
        "_PIECE = 1 << 30",
        ("tests/http/test_frames.py",),
    ),
    Mutant(
        "namespaces-without-end",
        "emulator/runpod_emulator/world/worlds.py",
        "if len(self._named) >= self._most:",
        "if False:",
        ("tests/world/test_worlds.py::test_the_longest_unused_makes_room",),
    ),
    Mutant(
        "a-ring-without-end",
        "emulator/runpod_emulator/core/records/ring.py",
        "if held > self._most_bytes:",
        "if False:",
        ("tests/core/records/test_rings.py::test_a_ring_is_bounded_both_ways",),
    ),
    Mutant(
        "a-journal-without-end",
        "emulator/runpod_emulator/core/records/journal.py",
        "            self._make_room(entry)\n",
        "            pass\n",
        ("tests/core/records/test_rings.py::test_the_journal_counts_all_that_a_client_sends",),
    ),
    Mutant(
        "whole-bodies-in-the-journal",
        "emulator/runpod_emulator/http/answers.py",
        "body if size <= LONGEST_BODY else body[:LONGEST_BODY]",
        "body",
        ("tests/world/test_effects.py::test_an_answer_comes_with_the_beginning_of_its_request",),
    ),
    Mutant(
        "patterns-of-any-size",
        "emulator/runpod_emulator/mocking/patterns.py",
        "MOST_PARTS = 20_000",
        "MOST_PARTS = 10**9",
        ("tests/mocking/test_patterns.py::test_a_pattern_that_would_be_huge_is_refused_at_once",),
    ),
    Mutant(
        "sets-of-any-size",
        "emulator/runpod_emulator/mocking/patterns.py",
        "_MEMBER = 0.25",
        "_MEMBER = 0.0",
        ("tests/mocking/test_patterns.py::test_a_set_is_compared_with_a_text_for_no_longer_than_others",),
    ),
    Mutant(
        "forged-lines",
        "emulator/runpod_emulator/core/secrets/shown.py",
        "    return text if text.isprintable() else _HIDDEN.sub(_escape, text)\n",
        "    return text\n",
        ("tests/core/secrets/test_shown.py",),
    ),
    Mutant(
        "a-log-that-waits",
        "emulator/runpod_emulator/server/outlet.py",
        "_text(sys.stderr, Outlet(2))",
        "_text(sys.stderr, Outlet(2, patient=True))",
        (
            "tests/security/test_unread_log.py::test_a_log_that_nobody_reads_stops_nothing_and_says_later_what_is_missing",
        ),
    ),
    Mutant(
        "the-file-of-a-servers-state-is-for-everybody",
        "emulator/runpod_emulator/server/state_file.py",
        "_MODE = 0o600",
        "_MODE = 0o644",
        ("tests/server/test_state_file.py::test_what_is_written_is_read_and_nobody_else_may",),
    ),
    Mutant(
        "two-servers-write-one-file",
        "emulator/runpod_emulator/server/state_file.py",
        "            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "            pass",
        ("tests/server/test_state_file.py::test_a_second_server_is_refused_until_the_first_has_gone",),
    ),
    Mutant(
        "a-save-that-fails-spoils-the-file",
        "emulator/runpod_emulator/server/state_file.py",
        "descriptor = os.open(self._draft, flags, _MODE)",
        "self._draft = self._path; descriptor = os.open(self._draft, flags, _MODE)",
        ("tests/server/test_state_file.py::test_what_fails_in_the_middle_leaves_the_old_one_and_nothing_else",),
    ),
    Mutant(
        "a-snapshot-tells-secrets",
        "emulator/runpod_emulator/world/covers.py",
        "return text if after == before else after",
        "return text",
        ("tests/doors/admin/test_snapshots.py::test_secrets_are_not_in_it",),
    ),
    Mutant(
        "a-file-has-the-keys-of-clients",
        "emulator/runpod_emulator/world/covers.py",
        'masks.header(name.decode("latin-1"), value.decode("latin-1"))',
        'value.decode("latin-1")',
        ("tests/world/test_snapshot.py::test_the_file_has_what_jobs_need_to_run_and_no_header_that_opens_something",),
    ),
    Mutant(
        "a-proxy-is-an-open-relay",
        "emulator/runpod_emulator/server/proxy.py",
        "if not self._passes:",
        "if False:",
        ("tests/server/test_proxy.py::test_each_wrong_request_is_told_what_is_wrong",),
    ),
    Mutant(
        "a-name-of-a-stranger-leads-back-to-this-machine",
        "emulator/runpod_emulator/server/proxy.py",
        "if not way.is_own and _is_here(server):",
        "if False:",
        ("tests/server/test_proxy.py::test_a_name_that_leads_to_this_machine_is_refused",),
    ),
    Mutant(
        "a-proxy-is-everybodys",
        "emulator/runpod_emulator/server/proxy.py",
        'bind(HOST, number, "--proxy")',
        'bind("0.0.0.0", number, "--proxy")',
        ("tests/security/test_proxy.py::test_it_is_on_this_machine_alone",),
    ),
    Mutant(
        "a-proxy-takes-any-number-of-connections",
        "emulator/runpod_emulator/server/proxy.py",
        "if len(self._tasks) > self._most:",
        "if False:",
        ("tests/server/test_proxy.py::test_there_is_a_limit_to_connections",),
    ),
    Mutant(
        "the-head-of-a-proxied-request-may-take-for-ever",
        "emulator/runpod_emulator/server/proxy_head.py",
        "asyncio.wait_for(_read(reader), HEAD_TIME)",
        "asyncio.wait_for(_read(reader), None)",
        ("tests/server/test_proxy.py::test_a_slow_head_is_refused",),
    ),
    Mutant(
        "a-refused-client-of-the-proxy-may-go-on-sending",
        "emulator/runpod_emulator/server/relay.py",
        "dropped < _MOST_DROPPED and ",
        "",
        ("tests/security/test_proxy.py::test_an_endless_head_is_cut_off",),
    ),
    Mutant(
        "what-is-for-the-proxy-is-passed-on",
        "emulator/runpod_emulator/server/proxy_head.py",
        "in raw if name not in left_out]",
        "in raw]",
        ("tests/server/test_proxy.py::test_a_url_is_passed_on_without_what_is_for_the_proxy",),
    ),
)
