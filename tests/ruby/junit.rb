# frozen_string_literal: true

require "minitest"
require "rexml/document"

# Writes what Minitest found as a JUnit file: CPROF_TEST_REPORT names it.
class JunitReporter < Minitest::AbstractReporter
  def initialize(path)
    super()
    @path = path
    @results = []
  end

  def record(result)
    @results << result
  end

  def report
    document = REXML::Document.new
    suite = document.add_element("testsuite", "name" => File.basename(@path, ".xml"),
                                              "tests" => @results.size.to_s)
    @results.each { |result| add(suite, result) }
    File.write(@path, document.to_s)
  end

  private

  def add(suite, result)
    name = result.name.delete_prefix("test_")
    test = suite.add_element("testcase", "name" => name, "classname" => result.klass,
                                         "time" => result.time.round(3).to_s)
    return if result.passed?

    message = result.failure.message
    if result.skipped?
      test.add_element("skipped", "message" => message)
      puts "SKIP #{name}: #{message}"
    else
      test.add_element("failure", "message" => message.lines.first.to_s.strip).text = message
    end
  end
end

module Minitest
  def self.plugin_junit_init(_options)
    reporter << JunitReporter.new(ENV["CPROF_TEST_REPORT"]) if ENV["CPROF_TEST_REPORT"]
  end
end
Minitest.extensions << "junit"
