# frozen_string_literal: true

require "rbconfig"

require_relative "helper"

class TestBuild < CprofTest
  # What the handler's parts of the binding may refer to: the first three of the walk are Ruby's,
  # and neither lock nor allocate; the others are the binding's own.
  HANDLER_MAY_USE = {
    "walk" => %w[ruby_thread_has_gvl_p rb_during_gc rb_gc_count layout context_here
                 context_age context_seen threads_over threads_running _GLOBAL_OFFSET_TABLE_],
    "slots_tick" => %w[walk_runs _GLOBAL_OFFSET_TABLE_],
  }.freeze

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
      %w[walk slots_tick].each do |part|
        object = File.join(folder, "#{part}.o")
        _, errors, status = run_for(60, {}, "cc", "-std=gnu11", "-O2", "-fPIC", "-D_GNU_SOURCE",
                                    "-ftls-model=initial-exec", *includes.map { |path| "-I#{path}" },
                                    "-c", File.join(gem_folder, "ext/cprof/#{part}.c"), "-o", object)
        assert status.success?, errors
        out, = run_for(20, {}, "nm", "-u", object)
        assert_empty out.split.grep_v("U") - HANDLER_MAY_USE[part]
      end
    end
  end

  def test_nothing_but_the_entry_is_exported
    out, = run_for(20, {}, "nm", "-D", "--defined-only", native_library)
    # The second is there for other processes: docs/spans.md.
    assert_equal %w[Init_native otel_thread_ctx_v1], out.lines.map { |line| line.split.last }.sort
  end

  # What can be in the way of building the extension: what the environment says then.
  OBSTACLES = {
    "a_compiler_that_fails" => ->(folder) { { "CC" => tool(folder, "bad-cc") } },
    "no_compiler" => ->(folder) { { "PATH" => path_without(folder, /\A(cc|c[89]9|[gt]cc|g\+\+|clang|.*-gcc).*\z/) } },
    "a_cmake_that_fails" => ->(folder) { { "PATH" => "#{File.dirname(tool(folder, "cmake"))}:#{ENV.fetch("PATH")}" } },
    "no_cmake" => ->(folder) { { "PATH" => path_without(folder, /\Acmake\z/) } },
    "a_path_with_nothing_but_make" => ->(folder) { { "PATH" => path_without(folder, /\A(?!make\z)/) } },
    "no_headers_of_ruby" => ->(folder) { headers(folder) },
    "a_ruby_that_has_none" => ->(folder) { headers(folder, nil) },
    "broken_headers_of_ruby" => lambda { |folder|
      File.write(File.join(folder, "ruby.h"), "#error broken\n")
      headers(folder)
    },
    "the_wish_of_the_user" => ->(_) { { "CPROF_SKIP_BUILD" => "1" } },
  }.freeze

  # A path with the tools of this one but those.
  def self.path_without(folder, names)
    tools = File.join(folder, "tools")
    FileUtils.mkdir(tools)
    ENV.fetch("PATH").split(":").flat_map { |path| Dir[File.join(path, "*")] }.each do |path|
      link = File.join(tools, File.basename(path))
      File.symlink(path, link) unless names.match?(File.basename(path)) || File.symlink?(link)
    end
    tools
  end

  # Ruby's headers are said to be in this folder, or nowhere.
  def self.headers(folder, where = folder)
    path = File.join(folder, "headers.rb")
    File.write(path, %(require "rbconfig"\nRbConfig::CONFIG["rubyhdrdir"] = #{where.inspect}\n))
    { "RUBYOPT" => "-r#{path}" }
  end

  # A program that only fails.
  def self.tool(folder, name)
    path = File.join(folder, name)
    File.write(path, "#!/bin/sh\nexit 1\n")
    File.chmod(0o755, path)
    path
  end

  OBSTACLES.each do |name, obstacle|
    define_method("test_an_installation_succeeds_in_spite_of_#{name}") do
      built = ENV["CPROF_TEST_GEM"] or skip "CPROF_TEST_GEM does not name the gem"
      Dir.mktmpdir do |folder|
        gems = File.join(folder, "gems")
        environment = { "RUBYOPT" => nil }.merge(self.class.instance_exec(folder, &obstacle))
        out, errors, status = run_for(300, environment, RbConfig.ruby, find_tool("gem"), "install", "--local",
                                      "--no-document", "--install-dir", gems, built)
        assert status.success?, out + errors
        environment = { "GEM_PATH" => gems, "GEM_HOME" => gems, "RUBYLIB" => nil, "RUBYOPT" => "-rcprof/auto" }
        out, errors, status = run_for(20, environment, RbConfig.ruby, "-e", "p Cprof.running?")
        assert status.success?, errors
        assert_equal "false\n", out
        assert_equal 1, errors.lines.size, errors
        log = errors[/nothing is profiled(?:: .*)?; for why see (.*gem_make.out)$/, 1] or flunk errors
        assert_match(/is profiled: the build lacks what Debian has as: apt install cmake; for/, errors) if name == "no_cmake"
        assert_match(/^cprof: .*\ncprof: the extension could not be built/, File.read(log))
        assert_empty Dir[File.join(gems, "extensions/*/*/*/cprof/*")]
      end
    end
  end

  # What CMake does elsewhere is looked at by the other tests.
  def test_what_is_built_is_installed_into_a_folder_with_a_space
    built = ENV["CPROF_TEST_GEM"] or skip "CPROF_TEST_GEM does not name the gem"
    Dir.mktmpdir do |outer|
      FileUtils.mkdir(folder = File.join(outer, "with space"))
      cmake = self.class.tool(folder, "cmake")
      File.write(cmake, <<~'SH')
        #!/bin/sh
        for word; do case $word in -DCPROF_RUBY_OUTPUT=*) mkdir -p "${word#*=}" && touch "${word#*=}/native.so" "${word#*=}/cprof";; esac; done
      SH
      gems = File.join(folder, "gems")
      environment = { "RUBYOPT" => nil, "PATH" => "#{folder}:#{ENV.fetch("PATH")}" }
      out, errors, status = run_for(60, environment, RbConfig.ruby, find_tool("gem"), "install", "--local",
                                    "--no-document", "--install-dir", gems, built)
      assert status.success?, out + errors
      assert_equal %w[cprof native.so], Dir.children(Dir[File.join(gems, "extensions/*/*/*/cprof")].fetch(0)).sort
    end
  end

  def test_a_bundle_with_a_gem_that_cannot_be_built_is_installed_and_runs
    built = ENV["CPROF_TEST_GEM"] or skip "CPROF_TEST_GEM does not name the gem"
    bundle = ["bundle#{RbConfig::CONFIG["ruby_version"][/\d+\.\d+/]}", "bundle"].find { |name| find_tool(name) }
    skip "there is no bundler" unless bundle
    Dir.mktmpdir do |folder|
      FileUtils.mkdir_p(File.join(folder, "vendor/cache"))
      FileUtils.cp(built, File.join(folder, "vendor/cache/cprof-#{Gem::Specification.find_by_name("cprof").version}.gem"))
      File.write(File.join(folder, "Gemfile"), %(source "https://rubygems.org"\ngem "cprof"\n))
      # Bundler knows whose Ruby it is by its own first line; a home of its own keeps it from ours.
      environment = { "CC" => self.class.tool(folder, "bad-cc"), "BUNDLE_PATH" => File.join(folder, "gems"),
                      "BUNDLE_APP_CONFIG" => File.join(folder, ".bundle"), "HOME" => folder, "GEM_PATH" => nil,
                      "RUBYOPT" => nil, "RUBYLIB" => nil }
      ruby = [RbConfig.ruby, find_tool(bundle)]
      out, errors, status = run_for(300, environment, *ruby, "install", "--local", folder: folder)
      assert status.success?, out + errors
      out, errors, status = run_for(60, environment, *ruby, "exec", RbConfig.ruby, "-e", 'require "cprof"; p Cprof.start', folder: folder)
      assert status.success?, errors
      assert_equal "false\n", out
      assert_match(/nothing is profiled/, errors)
    end
  end

  def find_tool(name)
    ENV.fetch("PATH").split(":").map { |folder| File.join(folder, name) }.find { |path| File.executable?(path) }
  end

  def test_the_gem_brings_the_command
    script = File.join(gem_folder, "../../bin/cprof")
    out, errors, status = run_for(20, { "RUBYOPT" => nil }, RbConfig.ruby, script, "--version")
    assert status.success?, errors
    assert_match(/\Acprof \d/, out)
  end

  def test_every_public_method_says_what_it_takes_and_returns
    yard = find_tool("yard") or skip "there is no yard"
    sources = Dir[File.join(gem_folder, "lib/cprof.rb"), File.join(gem_folder, "lib/cprof/{middleware,version}.rb")]
    out, errors, status = run_for(60, { "RUBYOPT" => nil, "RUBYLIB" => nil }, yard, "stats", "--list-undoc", "-n", "--no-cache", *sources)
    assert status.success?, errors
    assert_match(/100\.00% documented/, out)
    assert_empty out.lines.grep(/warn/)
  end

  # Every call of the face, with Ruby's own checker of signatures watching.
  CALLS = <<~'RUBY'
    public = Cprof.singleton_methods(false) - [:autoload]
    abort "start" unless Cprof.start(service_name: "a", rate: 100, types: ["cpu"], exporter: %w[none], interval: 5,
                                     headers: { "a" => "b" }, labels: { a: 1, "b" => "c" }, native: true)
    abort "running" unless Cprof.running?
    Cprof.labels(a: 1, "b": nil) { |*| Cprof.labels(c: 2.0) { nil } }
    Cprof.flush(timeout: 1)
    Cprof.flush
    Cprof.stats.fetch(:samples)
    Cprof.stop(timeout: 1.5)
    Cprof.profile("signatures.pb.gz", rate: 200, exporter: "file") { 3 }
    Cprof::Middleware.new(->(env) { [200, env, []] }, start: false).call({ "REQUEST_METHOD" => "GET" })
    declared = File.read(ENV.fetch("SIGNATURES")).scan(/def self\.(\w+\??):/).flatten.map(&:to_sym)
    abort "undeclared: #{public - declared}" unless (public - declared).empty?
    abort "not there: #{declared - public}" unless (declared - public).empty?
    puts "checked"
  RUBY

  def test_the_signatures_are_what_the_methods_take_and_return
    begin
      require "rbs"
    rescue LoadError
      skip "this Ruby comes without rbs"
    end
    signatures = File.join(gem_folder, "sig")
    environment = { "RBS_TEST_RAISE" => "true", "RBS_TEST_LOGLEVEL" => "error", "RBS_TEST_TARGET" => "Cprof,Cprof::*",
                    "RBS_TEST_OPT" => "-I #{signatures}", "SIGNATURES" => File.join(signatures, "cprof.rbs"), "RUBYOPT" => nil }
    Dir.mktmpdir do |folder|
      File.write(File.join(folder, "calls.rb"), CALLS)
      out, errors, status = run_for(120, environment, RbConfig.ruby, "-rcprof", "-rrbs/test/setup", "calls.rb", folder: folder)
      assert status.success?, errors
      assert_equal "checked\n", out
    end
  end
end
