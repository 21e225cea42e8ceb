# frozen_string_literal: true

require_relative "helper"

# Pauses of the garbage collector: as many collections as Ruby counts itself, and what made it collect.
class TestCollections < CprofTest
  # In an at_exit nothing collects any more before the engine has stopped, so stats are taken within.
  PROGRAM = <<~RUBY
    def make = 30_000.times.map { Object.new.to_s }
    def ask = 3.times { GC.start }
    GC.disable
    Cprof.stop
    Cprof.start(output: ENV.fetch("CPROF_OUTPUT"), types: ["gc"])
    began = Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)
    before = GC.count
    GC.enable
    ask # first, while each pause is taken: of many in a fifth of a second only some are
    5.times { make }
    GC.disable
    after = GC.count
    elapsed = Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond) - began
    stats = Cprof.stats
    puts [after - before, stats[:gc_collections], stats[:gc_pause_ns], stats[:gc_cpu_ns], elapsed].join(" ")
    Cprof.stop
  RUBY

  def test_as_many_as_ruby_counts_by_cause_and_stack
    outcome = run_profiled(PROGRAM)
    assert_clean outcome
    expected, counted, wall, cpu, elapsed = outcome.output.split.map(&:to_i)
    assert_equal expected, counted
    assert_operator counted, :>=, 3
    assert_includes 1..elapsed, wall
    assert_includes 1..elapsed, cpu
    # A collection may take several pauses, and first ends the one before.
    asked = outcome.profile.samples.select { |sample| sample.names.include?("Object#ask") }
    asked = asked.select { |sample| sample.labels.values_at("gc.cause", "gc.generation") == %w[method major] }
    assert_operator asked.sum { |sample| sample.values["gc_pauses"] }, :>=, 3
    made = outcome.profile.samples.select { |sample| sample.names.include?("Object#make") }
    refute_empty made.map { |sample| sample.labels["gc.cause"] } & %w[newobj malloc]
    assert_operator outcome.profile.samples.sum { |sample| sample.values["gc_pause"] }, :>, 0
  end

  def test_nothing_is_counted_that_nobody_asks_for
    outcome = run_profiled("GC.start; puts Cprof.stats[:gc_collections]")
    assert_clean outcome
    assert_equal "0\n", outcome.output
  end
end
