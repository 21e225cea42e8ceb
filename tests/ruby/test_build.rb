# frozen_string_literal: true

require "rbconfig"

require_relative "helper"

class TestBuild < CprofTest
  # What the handler's part of the binding may refer to: the first three are Ruby's, and neither
  # lock nor allocate; the others are the binding's own data.
  HANDLER_MAY_USE = %w[ruby_thread_has_gvl_p rb_during_gc rb_gc_count layout context_here
                       context_age context_seen threads_over _GLOBAL_OFFSET_TABLE_].freeze

  def gem_folder
    Gem.loaded_specs["cprof"]&.gem_dir || Gem::Specification.find_by_name("cprof").gem_dir
  rescue Gem::MissingSpecError
    skip "cprof is not installed as a gem here"
  end

  def native_library
    Gem.find_files("cprof/native.so").first or skip "there is no cprof/native.so on the path"
  end

  def test_the_handlers_code_calls_nothing_that_is_not_allowed
    Dir.mktmpdir do |folder|
      config = RbConfig::CONFIG
      includes = ["core-src/core/include", "ext/cprof"].map { |path| File.join(gem_folder, path) } +
                 config.values_at("rubyhdrdir", "rubyarchhdrdir")
      object = File.join(folder, "walk.o")
      _, errors, status = run_for(60, {}, "cc", "-std=gnu11", "-O2", "-fPIC", "-D_GNU_SOURCE",
                                  "-ftls-model=initial-exec", *includes.map { |path| "-I#{path}" },
                                  "-c", File.join(gem_folder, "ext/cprof/walk.c"), "-o", object)
      assert status.success?, errors
      out, = run_for(20, {}, "nm", "-u", object)
      assert_empty out.split.grep_v("U") - HANDLER_MAY_USE
    end
  end

  def test_nothing_but_the_entry_is_exported
    out, = run_for(20, {}, "nm", "-D", "--defined-only", native_library)
    # The second is there for other processes: docs/spans.md.
    assert_equal %w[Init_native otel_thread_ctx_v1], out.lines.map { |line| line.split.last }.sort
  end

  def test_a_failing_build_never_fails_an_installation
    built = ENV["CPROF_TEST_GEM"] or skip "CPROF_TEST_GEM does not name the gem"
    Dir.mktmpdir do |folder|
      environment = { "CPROF_SKIP_BUILD" => "1", "RUBYOPT" => nil }
      out, errors, status = run_for(120, environment, RbConfig.ruby, "-S", "gem", "install", "--local", "--no-document",
                                    "--install-dir", folder, built)
      assert status.success?, out + errors
      environment = { "GEM_PATH" => folder, "GEM_HOME" => folder, "RUBYOPT" => "-rcprof/auto" }
      out, errors, status = run_for(20, environment, RbConfig.ruby, "-e", "p Cprof.running?")
      assert status.success?, errors
      assert_equal "false\n", out
      assert_equal 1, errors.lines.size, errors
      assert_match(/nothing is profiled/, errors)
    end
  end
end
