# frozen_string_literal: true

require "json"
require "rbconfig"
require "rubygems/package"
require "socket"

require_relative "helper"

# The gem that packaging/gem makes, on a machine where nothing can be built.
class TestPrebuilt < CprofTest
  def setup
    @gem = ENV["CPROF_TEST_PLATFORM_GEM"] or skip "CPROF_TEST_PLATFORM_GEM does not name the gem"
  end

  # Installs it; yields its home, and an environment that has this gem and no tools at all.
  def with_installed
    Dir.mktmpdir("cprof-prebuilt") do |folder|
      tools, home = %w[tools home].map { |name| File.join(folder, name).tap { |path| FileUtils.mkdir(path) } }
      environment = ENV.keys.grep(/\A(RUBY|GEM|BUNDLE|CPROF|CC|MAKE)/).to_h { |name| [name, nil] }
                       .merge("PATH" => tools, "GEM_HOME" => home, "GEM_PATH" => home)
      out, errors, status = run_for(60, environment, *RUBY, gem_program, "install", "--local", "--no-document", @gem)
      assert status.success?, out + errors
      yield home, environment, folder
    end
  end

  def gem_program
    ENV.fetch("PATH").split(":").map { |folder| File.join(folder, "gem") }.find { |path| File.executable?(path) }
  end

  PROGRAM = <<~RUBY
    require "./prelude"
    def busy
      150_000.times { |i| format("%010.3f", i * 1.5) }
      spin(0.4)
    end
    abort "no compiler should be there" if %w[cc make cmake].any? { |tool| system(tool, "--version", exception: false) }
    busy
  RUBY

  def write_program(folder)
    File.write(File.join(folder, "prelude.rb"), PRELUDE)
    File.write(File.join(folder, "program.rb"), PROGRAM)
  end

  # What the interpreter does for a method counts to the method, until all of it is asked for.
  def interpreters_share(home, environment, folder, *options)
    top = [File.join(home, "bin/cprof"), "top", "--json", "-n", "9999", *options, "out.pb.gz"]
    out, errors, status = run_for(60, environment, *RUBY, *top, folder: folder)
    assert status.success?, errors
    report = JSON.parse(out)
    own = report["rows"].select { |row| row["frame_type"] == "native" && row["file"] =~ %r{/(lib)?ruby[^/]*\z} }
    own.sum { |row| row["self"] } / report["total"].to_f
  end

  def test_it_profiles_and_brings_the_command_where_nothing_can_be_built
    with_installed do |home, environment, folder|
      write_program(folder)
      profiled = environment.merge("RUBYOPT" => "-rcprof/auto", "CPROF_OUTPUT" => "out.pb.gz", "CPROF_RATE" => "500")
      out, errors, status = run_for(60, profiled, *RUBY, "program.rb", folder: folder)
      assert status.success?, out + errors
      assert_empty errors
      profile = Pprof.read(File.join(folder, "out.pb.gz"))
      assert_operator profile.share { |sample| sample.names.include?("Object#busy") }, :>, 0.8
      out, errors, status = run_for(60, environment, *RUBY, File.join(home, "bin/cprof"), "top", "out.pb.gz", folder: folder)
      assert status.success?, errors
      assert_match(/Object#busy/, out)
      assert_operator interpreters_share(home, environment, folder), :<, 0.05
      assert_operator interpreters_share(home, environment, folder, "--all-native"), :>, 0.05
      gem = Dir.glob(File.join(home, "gems/cprof-*")).first
      %w[LICENSE NOTICE].each { |text| assert_path_exists File.join(gem, text) }
    end
  end

  def test_it_finds_the_module_that_sends_over_http
    with_installed do |_, environment, folder|
      write_program(folder)
      server = TCPServer.new("127.0.0.1", 0)
      request = Thread.new do
        client = server.accept
        client.gets.tap { client.write "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" }
      end
      sending = environment.merge("RUBYOPT" => "-rcprof/auto", "CPROF_EXPORTER" => "otlp",
                                  "OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT" => "http://127.0.0.1:#{server.addr[1]}/sent")
      _, errors, status = run_for(60, sending, *RUBY, "program.rb", folder: folder)
      assert status.success?, errors
      assert request.join(10), "nothing was sent: #{errors}"
      assert_match(%r{\APOST /sent }, request.value)
    ensure
      server&.close
    end
  end

  def test_it_is_for_the_versions_of_ruby_that_it_carries
    spec = Gem::Package.new(@gem).spec
    assert_empty spec.extensions
    assert_equal "linux", spec.platform.os
    carried = spec.files.filter_map { |path| path[%r{\Alib/cprof/(.*)/native\.so\z}, 1] }
    assert_includes carried, RUBY_VERSION[/\d+\.\d+/]
    carried.each { |version| assert spec.required_ruby_version.satisfied_by?(Gem::Version.new("#{version}.9")), version }
    %w[3.0.9 3.5.0.dev 3.5.0].each do |version|
      refute spec.required_ruby_version.satisfied_by?(Gem::Version.new(version)), version
    end
  end

  # As between two versions that it has.
  def test_a_ruby_that_it_does_not_carry_is_told_once_and_runs_on
    with_installed do |home, environment, folder|
      carried, = Dir[File.join(home, "gems/*/lib/cprof/#{RUBY_VERSION[/\d+\.\d+/]}")]
      others = Dir[File.join(home, "gems/*/lib/cprof/[0-9]*")] - [carried]
      FileUtils.rm_r(others)
      File.rename(carried, File.join(File.dirname(carried), "2.7"))
      out, errors, status = run_for(60, environment.merge("RUBYOPT" => "-rcprof/auto"), *RUBY, "-e",
                                    "p Cprof.running?, Cprof.start", folder: folder)
      assert status.success?, errors
      assert_equal "false\nfalse\n", out
      assert_match(/\Acprof: the extension is not there \(this gem has it for Ruby 2.7; .*--platform ruby.*; nothing is profiled\n\z/, errors)
    end
  end

  def test_one_that_does_not_fit_the_machine_says_why
    with_installed do |home, environment, folder|
      library, = Dir[File.join(home, "gems/*/lib/cprof/#{RUBY_VERSION[/\d+\.\d+/]}/native.so")]
      File.write(library, "not for this machine")
      out, errors, status = run_for(60, environment.merge("RUBYOPT" => "-rcprof/auto"), *RUBY, "-e", "p Cprof.running?", folder: folder)
      assert status.success?, errors
      assert_equal "false\n", out
      assert_match(/\Acprof: the extension is not there \(.*native\.so.*\); nothing is profiled\n\z/, errors)
    end
  end
end
