# frozen_string_literal: true

require "net/http"
require "socket"

require_relative "helper"

class TestPuma < CprofTest
  APP = <<~'RUBY'
    require "cprof"
    require "json"
    use Cprof::Middleware
    def spin(seconds)
      till = Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID) + seconds
      i = 0
      i += 1 while Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID) < till
    end
    def slow_page = spin(0.014)
    def fast_page = spin(0.006)
    run lambda { |env|
      env["PATH_INFO"] == "/slow" ? slow_page : fast_page
      [200, { "content-type" => "application/json" }, [JSON.generate(path: env["PATH_INFO"])]]
    }
  RUBY

  def with_puma(*options)
    puma = Gem.bin_path("puma", "puma")
    Dir.mktmpdir do |folder|
      File.write(File.join(folder, "config.ru"), APP)
      port = TCPServer.open("127.0.0.1", 0) { |server| server.addr[1] }
      environment = { "RUBYOPT" => "-rcprof/auto", "CPROF_RATE" => "500", "PWD" => folder,
                      "CPROF_OUTPUT" => File.join(folder, "puma-%p.pb.gz") }
      log = File.join(folder, "log")
      pid = spawn(environment, *RUBY, puma, "-e", "production", "-b", "tcp://127.0.0.1:#{port}", *options,
                  chdir: folder, out: log, err: log)
      wait_for(port, log)
      yield port
      Process.kill(:TERM, pid)
      Process.wait(pid)
      return Dir[File.join(folder, "puma-*.pb.gz")].map { |path| Pprof.read(path) }, File.read(log)
    end
  rescue LoadError, Gem::Exception
    skip "puma is not installed"
  end

  def wait_for(port, log)
    200.times do
      return Net::HTTP.get(URI("http://127.0.0.1:#{port}/fast"))
    rescue SystemCallError
      sleep 0.1
    end
    flunk "puma does not answer: #{File.read(log)}"
  end

  def load_it(port)
    4.times.map do
      Thread.new do
        Net::HTTP.start("127.0.0.1", port) do |http|
          # Few changes: what runs between two ticks of the kernel counts to where the second finds it.
          %w[/slow /fast].each { |path| 40.times { assert_equal "200", http.get(path).code } }
        end
      end
    end.each(&:join)
  end

  def check_split(profiles)
    samples = profiles.flat_map(&:samples)
    slow, fast = %w[slow_page fast_page].map { |name| samples.select { |s| s.names.any? { |n| n.match?(/[#.]#{name}\z/) } }.sum(&:weight) }
    assert_share 0.7, slow.fdiv(slow + fast), 0.03, "slow_page"
    pages = samples.select { |s| s.names.any? { |n| n.end_with?("_page") } }
    labelled = pages.select { |s| s.labels["http.request.method"] == "GET" }
    assert_operator labelled.sum(&:weight).fdiv(pages.sum(&:weight)), :>, 0.98
    refute pages.any? { |s| s.names.include?("[truncated]") }
  end

  def test_requests_under_load_show_in_their_proportion
    profiles, log = with_puma("-t", "4:4") { |port| load_it(port) }
    assert_equal 1, profiles.size, log
    check_split(profiles)
  end

  def test_preforked_workers_profile_themselves
    profiles, log = with_puma("-w", "2", "-t", "2:2", "--preload") { |port| load_it(port) }
    assert_operator profiles.size, :>=, 2, log
    check_split(profiles)
  end
end
