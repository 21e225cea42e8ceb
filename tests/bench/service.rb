# frozen_string_literal: true

# A program like a web service, for own_threads.py: threads that answer made-up requests of some
# forty kinds with what the standard library has, which gives hundreds of different stacks.
#
#     ruby -I… service.rb SECONDS

require "cprof"
require "bigdecimal"
require "cgi"
require "csv"
require "digest"
require "erb"
require "json"
require "ripper"
require "set"
require "stringio"
require "time"
require "uri"
require "yaml"
require "zlib"

WORDS = %w[alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu].freeze
ROWS = Array.new(60) { |i| { "id" => i, "name" => WORDS[i % 12], "price" => i * 1.25, "tags" => WORDS[0, i % 5] } }.freeze
PAGE = ERB.new("<% rows.each do |row| %><li><%= CGI.escapeHTML(row['name']) %>: <%= row['price'] %></li><% end %>")
SOURCE = "def f(a, b = 1)\n  (0...10).select(&:odd?).map { |x| x * a + b }\nend\n" * 4

ANSWERS = {
  json: ->(rows) { JSON.parse(JSON.pretty_generate(rows)) },
  yaml: ->(rows) { YAML.safe_load(YAML.dump(rows.first(10))) },
  csv: ->(rows) { CSV.parse(CSV.generate { |csv| rows.each { |row| csv << row.values } }) },
  page: ->(rows) { PAGE.result_with_hash(rows: rows) },
  query: ->(rows) { URI.decode_www_form(URI.encode_www_form(rows.map { |row| [row["name"], row["price"]] })) },
  url: ->(rows) { rows.map { |row| URI.parse("http://host/#{row["name"]}?id=#{row["id"]}").query } },
  signed: ->(rows) { rows.inject(Digest::SHA256.new) { |digest, row| digest << row.inspect }.hexdigest },
  packed: ->(rows) { Zlib::Inflate.inflate(Zlib::Deflate.deflate(Marshal.dump(rows))).then { |text| Marshal.load(text) } },
  priced: ->(rows) { rows.sum { |row| BigDecimal(row["price"].to_s).round(2) } },
  dated: ->(rows) { rows.map { |row| Time.parse((Time.at(1_700_000_000) + row["id"] * 86_400).iso8601) } },
  searched: ->(rows) { rows.map { |row| row["name"].gsub(/([a-e])(\w)/) { "#{$2}#{$1}" } } },
  grouped: ->(rows) { rows.group_by { |row| row["name"] }.transform_values { |list| list.map { |row| row["id"] }.to_set } },
  parsed: ->(_rows) { Ripper.sexp(SOURCE) },
}.freeze

def checked(answer, rows) = answer.call(rows.sort_by { |row| [row["name"], -row["id"]] })
def logged(answer, rows) = format("%<size>d %<text>s", size: rows.size, text: checked(answer, rows).inspect[0, 80])
def cut(answer, rows) = logged(answer, rows.first(30))

seconds = Float(ARGV.fetch(0))
Cprof.start
finish = Process.clock_gettime(Process::CLOCK_MONOTONIC) + seconds
threads = Array.new(4) do
  Thread.new do
    while Process.clock_gettime(Process::CLOCK_MONOTONIC) < finish
      send(%i[checked logged cut].sample, ANSWERS.values.sample, ROWS)
    end
  end
end
threads.each(&:join)
