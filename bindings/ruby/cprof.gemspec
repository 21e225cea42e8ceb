# frozen_string_literal: true

require_relative "lib/cprof/version"
require_relative "tools/stage"

# `gem build cprof.gemspec` in a clone brings the core along first.
Stage.run if $PROGRAM_NAME.end_with?("gem", "rake")

Gem::Specification.new do |gem|
  gem.name = "cprof"
  gem.version = Cprof::VERSION
  gem.summary = "Always-on profiler: Ruby and native frames in one stack, tagged with the trace"
  gem.description = <<~TEXT
    Samples where the CPU time of a Ruby service goes, all the time and at a cost of well under a
    percent. Each sample is one stack of Ruby methods, blocks and C functions with the native
    frames beneath them, exported as OpenTelemetry profiles, pprof or a flame graph.
  TEXT
  gem.authors = ["The cprof authors"]
  gem.license = "Apache-2.0"
  gem.required_ruby_version = ">= 3.1"
  gem.files = Dir.chdir(__dir__) do
    Dir["{exe,ext,lib,sig,tools}/**/*", "core-src/**/*", "cprof.gemspec", "README.md"]
      .select { |path| File.file?(path) }
      .reject { |path| path.end_with?(".so", ".o") }
  end
  gem.require_paths = ["lib"]
  gem.bindir = "exe"
  gem.executables = ["cprof"]
  gem.extensions = ["ext/cprof/extconf.rb"]
  gem.metadata = { "rubygems_mfa_required" => "true" }
end
