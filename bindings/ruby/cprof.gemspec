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
  gem.require_paths = ["lib"]
  gem.bindir = "exe"
  gem.executables = ["cprof"]
  gem.metadata = { "rubygems_mfa_required" => "true" }

  # packaging/gem puts extensions here that are built already, one for each of some versions of Ruby:
  # a platform gem then, for these versions only.
  versions = Dir.glob("lib/cprof/*/native.so", base: __dir__).map { |path| path.split("/")[2] }
                .sort_by { |version| Gem::Version.new(version) }
  if versions.empty?
    parts = %w[exe/* {ext,lib,sig,tools,core-src}/**/* cprof.gemspec README.md]
    gem.required_ruby_version = ">= 3.1"
    gem.extensions = ["ext/cprof/extconf.rb"]
  else
    parts = %w[exe/* {lib,sig}/**/* README.md LICENSE NOTICE]
    gem.platform = "#{Gem::Platform.local.cpu}-linux"
    gem.required_ruby_version = [">= #{versions.first}", "< #{Gem::Version.new("#{versions.last}.0").bump}.dev"]
  end
  gem.files = parts.flat_map { |part| Dir.glob(part, base: __dir__) }
                   .select { |path| File.file?(File.join(__dir__, path)) }
                   .reject { |path| versions.empty? && path.end_with?(".so", ".o") }
end
