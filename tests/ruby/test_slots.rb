# frozen_string_literal: true

require_relative "helper"

# What Ruby allocates in its own heap: programs that make so many objects that what an estimate says of
# them can be told.
class TestSlots < CprofTest
  SLOTS = %w[Object#seventy Object#thirty Object#strings Object#arrays Object#hashes].freeze
  OLD = RUBY_VERSION < "3.2" # all slots are equal

  # Of the samples in whose stacks the method is.
  def sum(profile, column, method = nil)
    profile.samples.select { |s| method.nil? || s.names.include?(method) }.sum { |s| s.values.fetch(column) }
  end

  def run_slots(program, types)
    outcome = run_profiled(program, environment: { "CPROF_TYPES" => types })
    assert outcome.status.success?, "#{outcome.status}: #{outcome.errors}#{outcome.output}"
    outcome.errors = outcome.errors.lines.grep_v(/samples were dropped/).join
    outcome
  end

  # Nothing but objects: in every turn ten plain ones, six strings, three arrays, two hashes.
  CHURN = <<~RUBY
    def seventy = Object.new
    def thirty = Object.new
    def strings = "abc".dup
    def arrays = [1, 2]
    def hashes = { a: 1 }
    def churn(seconds, turns = 0)
      till = cpu + seconds
      while cpu < till
        100.times { 7.times { seventy }; 3.times { thirty }; 3.times { strings }; 3.times { arrays }; 2.times { hashes } }
        turns += 100
      end
      turns
    end
  RUBY

  def test_objects_are_those_of_the_program_by_method_number_and_size
    outcome = run_slots(CHURN + <<~RUBY, "alloc@64k")
      before = GC.stat(:total_allocated_objects)
      churn(2.5)
      puts GC.stat(:total_allocated_objects) - before
    RUBY
    assert_equal "", outcome.errors
    profile = outcome.profile
    refute profile.samples.first.values.key?("cpu"), "what was not asked for"
    objects = SLOTS.to_h { |method| [method, sum(profile, "alloc_objects", method)] }
    total = objects.values.sum.to_f
    made = outcome.output.to_i
    # Some 500 samples in 30 looks: each of them may see a fifth more or less than another. Of the shares the
    # bounds are four standard deviations or more.
    assert_includes 0.65..1.35, total / made, "#{objects} of #{made}"
    assert_share 0.7, objects["Object#seventy"] / (objects["Object#seventy"] + objects["Object#thirty"]).to_f, 0.12, "seventy"
    { "Object#strings" => 6, "Object#arrays" => 3, "Object#hashes" => 2 }.each do |method, count|
      assert_share count / 21.0, objects[method] / total, 0.11, "#{method}: #{objects}"
    end
    { "Object#seventy" => 40, "Object#arrays" => 40, "Object#hashes" => OLD ? 40 : 160 }.each do |method, size|
      assert_in_delta size, sum(profile, "alloc_space", method).fdiv(objects[method]), 0.5, method
    end
  end

  # The live heap is known of in steps of what a sample stands for; all of it falls, once it is let go.
  def test_what_one_method_keeps_among_churn_is_named_first_and_gone_once_it_is_let_go
    skip "Ruby tells what it has marked from 3.3 on" if RUBY_VERSION < "3.3"
    program = CHURN + <<~RUBY
      def keep = Object.new
      KEPT = []
      def both(seconds)
        till = cpu + seconds
        while cpu < till
          100.times { KEPT << keep << keep; 7.times { seventy }; 6.times { strings } }
        end
      end
      both(1)
      GC.compact if GC.respond_to?(:compact)
      STDOUT.puts KEPT.size
      KEPT.clear if ARGV.first
      4.times { GC.start }
    RUBY
    kept, gone = [program, program.sub("ARGV.first", "true")].map { |text| run_slots(text, "alloc@64k,heap@64k") }
    live = kept.profile.samples.group_by { |s| s.names.find { |name| name.match?(/Object#[a-z]/) } }
               .transform_values { |samples| samples.sum { |s| s.values.fetch("inuse_objects") } }
    assert_equal "Object#keep", live.max_by(&:last).first, live
    assert_includes 0.5..1.5, live["Object#keep"].fdiv(kept.output.to_i), live
    # Each one that was sampled lives, wherever it has been moved to.
    assert_in_delta 1, live["Object#keep"].fdiv(sum(kept.profile, "alloc_objects", "Object#keep")), 0.02
    (SLOTS & live.keys).each { |method| assert_operator live[method], :<, 0.1 * live["Object#keep"], live }
    assert_operator sum(gone.profile, "inuse_objects", "Object#keep"), :<, 0.05 * live["Object#keep"]
    assert_operator sum(gone.profile, "alloc_objects", "Object#keep"), :>, 0.5 * gone.output.to_i
  end

  def test_starts_stops_threads_forks_compaction_and_ractors_are_survived
    outcome = run_slots(CHURN + <<~RUBY, "cpu,alloc@16k,heap")
      3.times { Cprof.stop; Cprof.start; churn(0.05) }
      GC.auto_compact = true if GC.respond_to?(:auto_compact=) && RUBY_VERSION >= "3.2"
      4.times.map { Thread.new { churn(0.05) } }.each(&:join)
      2.times { Process.wait(fork { churn(0.05); GC.start; exit!(0) }); puts $?.exitstatus }
      3.times { GC.compact if GC.respond_to?(:compact); churn(0.05) }
      Warning[:experimental] = false
      ractors = 3.times.map { Ractor.new { 50_000.times { Object.new }; 1 } }
      churn(0.15)
      ractors.each(&:take)
      ractors = nil
      GC.start
      churn(0.15)
      puts "alive"
    RUBY
    assert_equal "0\n0\nalive", outcome.output.strip
    said = []
    said += ["not followed to their end"] * 4 if RUBY_VERSION < "3.3" # once a start
    said += ["a Ractor begins: from here on Ruby's objects are not counted"] if RUBY_VERSION < "3.1.4"
    assert_equal said.size, outcome.errors.lines.size, outcome.errors
    said.zip(outcome.errors.lines) { |text, line| assert_includes line, text }
    SLOTS.each { |method| assert_operator sum(outcome.profile, "alloc_objects", method), :>, 0, method }
  end
end
