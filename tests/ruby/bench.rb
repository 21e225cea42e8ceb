# frozen_string_literal: true

# What a busy Ruby program pays for being profiled at 100 Hz: runs one workload with and without
# cprof in turn, and prints the medians. Needs a quiet machine to mean anything.
#
#   ruby tests/ruby/bench.rb [ROUNDS]     (with `require "cprof"` finding the gem)

require "etc"
require "open3"
require "rbconfig"

WORK = <<~'RUBY'
  require "json"
  def cpu = Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID)
  def work
    rows = (1..200).map { |i| { "id" => i, "name" => "abba#{i}" } }
    JSON.parse(JSON.generate(rows)).sort_by { |r| -r["id"] }.map { |r| r["name"].gsub(/b/) { |x| x.upcase } }
  end
  200.times { work }
  before = cpu
  2000.times { work }
  print cpu - before, " ", defined?(Cprof) ? Cprof.stats[:handler_ns_mean] : 0
RUBY

def run(environment)
  out, status = Open3.capture2(environment, RbConfig.ruby, "-e", WORK)
  abort "the workload failed" unless status.success?
  out.split.map(&:to_f)
end

def median(values) = values.sort[values.size / 2]

rounds = Integer(ARGV.fetch(0, "9"))
profiled = { "RUBYOPT" => "-rcprof/auto", "CPROF_RATE" => "100", "CPROF_EXPORTER" => "none" }
results = Array.new(rounds) { [run({ "RUBYOPT" => nil })[0], *run(profiled)] }
plain, with, handler = results.transpose.map { |column| median(column) }
puts "#{RUBY_DESCRIPTION}, #{Etc.nprocessors} CPUs, load #{File.read("/proc/loadavg").split.first}, #{Time.now.strftime("%F")}"
puts format("CPU without %.3f s, with %.3f s: %+.2f %%; handler %.1f µs a sample", plain, with, (with / plain - 1) * 100, handler / 1000)
