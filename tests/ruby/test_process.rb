# frozen_string_literal: true

require_relative "helper"

class TestProcess < CprofTest
  def test_children_profile_themselves_and_hold_nothing_of_their_parent
    run_profiled(<<~'RUBY', environment: { "CPROF_OUTPUT" => "part-%p.pb.gz" }, rate: 500) do |outcome|
      def parent_work = spin(0.8)
      def child_work = spin(0.8)
      parent_work
      pids = 3.times.map { fork { child_work } }
      pids.each { |pid| Process.wait(pid); exit 1 unless $?.success? }
      parent_work
      puts Process.pid
    RUBY
      assert_clean outcome
      parent = outcome.output.strip
      files = Dir[File.join(outcome.folder, "part-*.pb.gz")]
      assert_equal 4, files.size
      files.each do |file|
        profile = Pprof.read(file)
        own, other = %w[Object#parent_work Object#child_work].rotate(file.include?("part-#{parent}.") ? 0 : 1)
        assert_operator profile.share { |s| s.names.include?(own) }, :>, 0.9, file
        assert_equal 0, profile.share { |s| s.names.include?(other) && !s.names.include?(own) }, file
      end
    end
  end

  def test_a_daemon_goes_on_being_profiled
    run_profiled(<<~'RUBY', environment: { "CPROF_OUTPUT" => "daemon-%p.pb.gz" }, rate: 500) do |outcome|
      def served = spin(0.4)
      Process.daemon(true, true)
      served
      Cprof.stop
      File.write("done", Process.pid.to_s)
    RUBY
      done = File.join(outcome.folder, "done")
      100.times { File.exist?(done) ? break : sleep(0.1) }
      profile = Pprof.read(File.join(outcome.folder, "daemon-#{File.read(done)}.pb.gz"))
      assert_operator profile.share { |s| s.names.include?("Object#served") }, :>, 0.9
    end
  end

  def test_programs_that_are_started_suffer_no_stray_signal
    outcome = run_profiled(<<~'RUBY', environment: { "CPROF_RATE" => "1000" })
      busy = Thread.new { spin(2) }
      burn = "i = 0; i += 1 while i < 2_000_000"
      20.times { system("/bin/sh", "-c", "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done") or abort "system #{$?}" }
      pids = 5.times.map { spawn({ "RUBYOPT" => nil }, RbConfig.ruby, "-e", burn) }
      pids.each { |pid| Process.wait(pid); abort "spawn #{$?}" unless $?.success? }
      5.times { pid = fork { exec("/bin/sh", "-c", "i=0; while [ $i -lt 9000 ]; do i=$((i+1)); done") }; Process.wait(pid); abort "exec #{$?}" unless $?.success? }
      IO.popen(["/bin/echo", "popen"]) { |io| print io.read }
      print `echo backtick`
      busy.join
    RUBY
    assert_clean outcome
    assert_equal %w[popen backtick], outcome.output.split
  end

  def test_exit_codes_and_output_are_those_of_the_program
    outcome = run_profiled("spin(0.1)\nputs 1\nexit 7")
    assert_equal 7, outcome.status.exitstatus
    assert_equal "1\n", outcome.output
    refute_nil outcome.profile
    outcome = run_profiled("at_exit { spin(0.1); puts 2 }\nraise 'no'")
    assert_equal 1, outcome.status.exitstatus
    assert_match(/no \(RuntimeError\)/, outcome.errors)
    assert_equal "2\n", outcome.output
    refute_nil outcome.profile
    outcome = run_profiled("Process.kill(:TERM, Process.pid)\nsleep 5")
    assert_equal 15, outcome.status.termsig
  end

  def test_a_program_that_ends_is_not_kept_when_nobody_receives
    # An hour, if it were.
    environment = { "CPROF_OUTPUT" => nil, "CPROF_EXPORTER" => "otlp", "CPROF_EXIT_TIMEOUT" => "3600",
                    "OTEL_EXPORTER_OTLP_ENDPOINT" => "http://127.0.0.1:9" }
    outcome = run_profiled("Process.wait(fork { spin(0.2) })\nspin(0.2)\nexit! unless $?.success?",
                           environment: environment)
    assert outcome.status.success?
    assert_equal 2, outcome.errors.scan("could not be delivered").size, outcome.errors
  end

  # The hook is named, so without a word it starts.
  def test_auto_start_follows_the_rule_of_three_languages
    { nil => true, "" => true, "on" => true, "TRUE" => true, "off" => false, "No" => false, "0" => false }.each do |value, runs|
      outcome = run_profiled("p Cprof.running?", environment: { "CPROF_ENABLED" => value })
      assert_equal "#{runs}\n", outcome.output, value
    end
    outcome = run_profiled("p Cprof.running?", environment: { "CPROF_ENABLED" => "perhaps" })
    assert_equal "false\n", outcome.output
    assert_equal "cprof: CPROF_ENABLED=perhaps: must be on, standby or off; the program runs on unprofiled\n", outcome.errors
  end

  def test_auto_start_obeys_the_switches
    outcome = run_profiled("p Cprof.running?", environment: { "CPROF_ENABLED" => "0" })
    assert_equal "false\n", outcome.output
    outcome = run_profiled("p Cprof.running?", environment: { "OTEL_SDK_DISABLED" => "true" })
    assert_equal "false\n", outcome.output
    outcome = run_profiled("p Cprof.running?", environment: { "CPROF_RATE" => "soon" })
    assert_equal "false\n", outcome.output
    assert_equal 1, outcome.errors.lines.size, outcome.errors
    assert_match(/CPROF_RATE/, outcome.errors)
  end

  def test_jobs_that_fork_each_time_are_all_profiled
    run_profiled(<<~'RUBY', environment: { "CPROF_OUTPUT" => "job-%p.pb.gz" }, rate: 500) do |outcome|
      def perform(n) = spin(0.1 + n * 0)
      10.times do |n|
        pid = fork do
          perform(n)
          [-> {}, -> { exit!(0) }, -> { Process.exit!(0) }, -> { Kernel.exit!(true) }][n % 4].call
        end
        Process.wait(pid)
        abort $?.to_s unless $?.exitstatus == 0
      end
    RUBY
      assert_clean outcome
      with_job = Dir[File.join(outcome.folder, "job-*.pb.gz")].count do |file|
        Pprof.read(file).samples.any? { |s| s.names.include?("Object#perform") }
      end
      assert_equal 10, with_job
    end
  end

  def test_labels_around_a_fork_are_its_childs_too
    run_profiled(<<~'RUBY', environment: { "CPROF_OUTPUT" => "labels-%p.pb.gz" }, rate: 500) do |outcome|
      def perform = spin(0.2)
      Thread.new { Cprof.labels(of: "thread") { spin(0.05) } }.join
      spin(0.1)
      pid = Cprof.labels(job: "7") { fork { perform } }
      Process.wait(pid)
      exit $?.exitstatus
    RUBY
      assert_clean outcome
      samples = Dir[File.join(outcome.folder, "labels-*.pb.gz")].flat_map { |file| Pprof.read(file).samples }
      inside = samples.select { |s| s.names.include?("Object#perform") }
      refute_empty inside
      assert_equal ["7"], inside.map { |s| s.labels["job"] }.uniq
    end
  end

  def test_exit_bang_leaves_at_once_when_something_is_raised_meanwhile
    run_profiled(<<~'RUBY') do |outcome|
      at_exit { puts "at_exit of #{$$ == PARENT ? "the parent" : "a child"}" }
      PARENT = $$
      statuses = [-> { exit!(7) }, -> { Process.exit!(7) }].map do |leave|
        Process.wait(fork do
          main = Thread.current
          Thread.handle_interrupt(SignalException => :on_blocking) do # as leaving is
            raiser = Thread.new { main.raise(SignalException, "TERM") }
            Thread.pass while raiser.alive?
            leave.call
          end
        rescue SignalException
          puts "rescued"
        end)
        $?.exitstatus
      end
      p statuses
    RUBY
      assert_clean outcome
      assert_equal "[7, 7]\nat_exit of the parent\n", outcome.output
    end
  end

  # Whoever sets RUBYOPT=-rcprof/auto for a program sets it for the Rubies that this starts.
  def test_children_that_go_without_gems_run_and_are_profiled
    run_profiled(<<~'RUBY', environment: { "CPROF_OUTPUT" => "part-%p.pb.gz", "RUBYOPT" => "-W1 -rcprof/auto" }) do |outcome|
      work = "def work(n) = n.times { |i| i.to_s }; work(2_000_000); puts $0"
      system(RbConfig.ruby, "--disable-gems", "-e", work)
      puts $?.exitstatus, ENV["RUBYOPT"]
    RUBY
      assert_clean outcome
      assert_match(%r{\A-e\n0\n-W1 -r/\S+/cprof/auto\.rb\n\z}, outcome.output)
      parts = Dir[File.join(outcome.folder, "part-*.pb.gz")].map { |path| Pprof.read(path) }
      assert_equal 1, parts.count { |part| part.share { |s| s.names.include?("Object#work") } > 0.9 }
    end
  end

  # As docs/ruby.md has it.
  def test_what_is_named_by_its_path_is_found_by_a_ruby_without_gems_or_with_a_bundle
    path, = run_for(60, { "RUBYOPT" => nil }, RbConfig.ruby, "-S", "gem", "which", "cprof/auto")
    folder = File.expand_path("../..", path.chomp)
    [{ "RUBYOPT" => "-r#{path.chomp}" }, { "RUBYOPT" => "-rcprof/auto", "RUBYLIB" => folder }].each do |environment|
      [%w[--disable-gems], %w[--disable=gems,did_you_mean], []].each do |options|
        bundle = options.empty? ? { "RUBYOPT" => "-rbundler/setup #{environment["RUBYOPT"]}", "BUNDLE_GEMFILE" => "empty" } : {}
        Dir.mktmpdir("cprof-test") do |empty|
          File.write(File.join(empty, "empty"), "")
          out, errors, status = run_for(60, { "CPROF_EXPORTER" => "none", **environment, **bundle }, RbConfig.ruby,
                                        *options, "-e", "p Cprof.running?", folder: empty)
          assert status.success?, errors
          assert_equal "true\n", out
        end
      end
    end
  end

  OTHER_RUBIES = Dir["/usr/bin/ruby[0-9]*"].reject { |path| path.end_with?("ruby#{RUBY_VERSION[/\A\d+\.\d+/]}") }.sort

  # What is built for one is not looked into by another: a line says so.
  def test_children_of_another_ruby_run_unprofiled_and_say_so
    skip "there is one Ruby here" if OTHER_RUBIES.empty?
    OTHER_RUBIES.each do |other|
      outcome = run_profiled(%(system("#{other}", "-e", "puts 6 * 7"); puts $?.exitstatus))
      assert outcome.status.success?, outcome.errors
      assert_equal "42\n0\n", outcome.output, other
      mine, version = RUBY_VERSION[/\A\d+\.\d+/], other[/[\d.]+\z/]
      lines = outcome.errors.lines.grep(/\Acprof: /)
      assert_equal 1, lines.size, outcome.errors
      assert_match(/built for Ruby #{mine}, and this is #{version}|for Ruby #{mine};.* builds it for #{version}|undefined symbol/, lines.first)
    end
  end
end
