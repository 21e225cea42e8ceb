# frozen_string_literal: true

require "fileutils"
require "minitest"
require "open3"
require "tmpdir"

require_relative "junit"
require_relative "pprof"

# Runs little Ruby programs, profiled, and looks at what came out. The gem under test is
# whatever `require "cprof"` finds: tests/ruby/run_all.py sets GEM_HOME.
class CprofTest < Minitest::Test
  # What runs the programs: this Ruby, or one for another processor in an emulator (tests/arm64).
  RUBY = [ENV.fetch("CPROF_TEST_RUBY", RbConfig.ruby), *ENV.fetch("CPROF_TEST_RUBY_OPTIONS", "").split].freeze

  Outcome = Struct.new(:output, :errors, :status, :profile, :folder)

  # Shares and totals rest on the kernel's timer ticks, of which a busy machine can rob a thread
  # for a while: a failure has to repeat itself alone, as often as there are tries.
  TRIES = 3

  # What no busy machine explains: one is enough.
  CRASH = /\[BUG\]|SIG(?:SEGV|ABRT|BUS|ILL|FPE)|hung for/

  def run(try = 1)
    result = in_room(alone: try > 1) { super() }
    return result if try == TRIES || result.passed? || result.skipped?
    return result if result.failures.any? { |failure| CRASH.match?(failure.message) }

    puts "tried again: #{self.class}##{name}: #{result.failures.first.message.lines.first(3).join.strip}"
    self.class.new(name).run(try + 1)
  end

  # Beside the tests of other runs, or alone: as ../gates.py has it.
  def in_room(alone:)
    entry, inside = ENV["CPROF_TEST_GATES"]&.split&.map { |gate| File.open("/proc/self/fd/#{gate}", "r+") }
    entry&.flock(File::LOCK_EX)
    inside&.flock(alone ? File::LOCK_EX : File::LOCK_SH)
    entry&.close
    yield
  ensure
    inside&.close
  end

  # What every program may use: spin(seconds) burns CPU time of its thread.
  PRELUDE = <<~RUBY
    def cpu = Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID)
    def spin(seconds)
      till = cpu + seconds
      i = 0
      i += 1 while i % 1000 != 0 || cpu < till
    end

    # Ruby 3.1 itself moves objects that must stay where they are, and dies of it, when this is set while
    # a collection marks.
    def compact_always
      GC.start
      GC.auto_compact = true if GC.respond_to?(:auto_compact=)
    end
  RUBY

  # Runs `program` (line numbers begin at 1) under RUBYOPT=-rcprof/auto; where that is set otherwise nothing
  # starts by itself.
  def run_profiled(program, environment: {}, rate: 250, timeout: 120, prelude: PRELUDE)
    Dir.mktmpdir("cprof-test") do |folder|
      File.write(File.join(folder, "prelude.rb"), prelude)
      path = File.join(folder, "program.rb")
      File.write(path, program)
      output = File.join(folder, "out.pb.gz")
      environment = { "RUBYOPT" => "-rcprof/auto", "CPROF_ENABLED" => environment.key?("RUBYOPT") ? nil : "1",
                      "CPROF_RATE" => rate.to_s, "CPROF_OUTPUT" => output }.merge(environment)
      out, errors, status = run_for(timeout, environment, *RUBY, "-r", "./prelude", path,
                                    folder: folder)
      profile = Pprof.read(output) if File.exist?(output)
      return Outcome.new(out, errors, status, profile, nil) unless block_given?

      yield Outcome.new(out, errors, status, profile, folder)
    end
  end

  # Runs a command to its end; kills it and fails when that takes too long.
  def run_for(seconds, environment, *command, folder: Dir.pwd)
    Open3.popen3(environment, *command, chdir: folder) do |stdin, stdout, stderr, waiter|
      stdin.close
      readers = [stdout, stderr].map { |io| Thread.new { io.read } }
      unless waiter.join(seconds)
        Process.kill(:KILL, waiter.pid)
        flunk "hung for #{seconds} s: #{readers.map(&:value).join}"
      end
      return [*readers.map(&:value), waiter.value]
    end
  end

  def assert_clean(outcome)
    assert outcome.status.success?, "#{outcome.status}: #{outcome.errors}#{outcome.output}"
    assert_equal "", outcome.errors
  end

  def assert_share(expected, found, within, what)
    assert_in_delta expected, found, within, "#{what}: #{(found * 100).round(1)} %"
  end
end

Minitest.after_run { nil }
