"""Tests that need not run under every version of an interpreter, and why: what they look at is the
same code under all of them, and what a version adds is looked at by their neighbours. Each runs
under the oldest version, the newest and one between; where a run names its versions, and in
packaging/test long, under all.
"""

# By language: why, and which.
SAME_EVERYWHERE = {
    "python": (
        ("cprof run is the command's; that each version starts by the environment is a test of its own", (
            "test_process.py::test_without_timers_the_time_is_there_and_the_cause_is_said",
            "test_process.py::test_what_a_program_does_after_it_has_dropped_root_is_kept",
            "test_process.py::test_a_short_program_without_a_profile_is_no_failure_to_start",
            "test_process.py::test_the_command_knows_why_there_is_no_profile",
            "test_process.py::test_cprof_run_makes_one_profile_of_a_program_and_its_children",
        )),
        ("variables and the names of outputs are read by the core", (
            "test_process.py::test_an_installed_package_follows_the_rule_of_three_languages",
            "test_process.py::test_a_nonsense_variable_is_one_line_and_the_program_runs",
            "test_process.py::test_off_means_off",
            "test_process.py::test_programs_started_by_the_program_do_not_write_over_its_profile",
            "test_process.py::test_the_name_of_the_file_written_is_the_one_told",
        )),
        ("delivery and the spool are the core's", (
            "test_process.py::test_a_server_that_is_away_holds_no_program_at_its_end",
        )),
        ("timers and signals of threads are the core's, whatever runs in them", (
            "test_accuracy.py::test_the_total_is_within_2_percent_of_getrusage",
            "test_process.py::test_a_low_limit_of_pending_signals_does_not_stop_it",
            "test_signals.py::",
        )),
        ("the kernel's frames are the core's", (
            "test_kernel.py::test_a_system_call_s_time_is_the_kernel_s",
            "test_kernel.py::test_starts_forks_threads_and_closed_descriptors",
            "test_kernel.py::test_who_may_not_have_them_reads_one_line_and_is_profiled_all_the_same",
            "test_kernel.py::test_a_program_keeps_the_signals_that_it_handles",
        )),
    ),
    "node": (
        ("variables and the address to listen at are read by the core and by plain JavaScript",
         ("settings.test.js",)),
        ("what is said of outputs and servers is the core's", ("lines.test.js",)),
        ("maps are read by cprof; where V8 names a script's map is looked at by frames.test.js too",
         ("sourcemaps.test.js",)),
        ("plain JavaScript about what npm packs, a second copy and exporters",
         ("package.test.js", "copies.test.js", "exemplars.test.js")),
    ),
    # What the JIT's run leaves out, which is the same Ruby as the first one's.
    "ruby": (
        ("gems, web servers and frameworks are the interpreter's, not the compiler's",
         ("build", "prebuilt", "puma", "rack")),
    ),
}


def same_everywhere(language):
    return [name for _, names in SAME_EVERYWHERE[language] for name in names]


def spread(versions, preferred=None):
    """Of versions from the oldest to the newest, those under which every test runs."""
    inner = versions[1:-1]
    between = [preferred] if preferred in inner else inner[len(inner) // 2:][:1]
    return versions[:1] + between + versions[1:][-1:]
