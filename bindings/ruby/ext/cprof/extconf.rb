# frozen_string_literal: true

# Builds the extension with CMake, and writes the Makefile that RubyGems wants, which only
# installs what was built. Where it cannot be built the Makefile does nothing: the gem installs
# all the same, and says at run time that it profiles nothing.
#
# RubyGems runs make whatever comes of this, so make it must have. It would do without for a Rakefile, but then
# Bundler finds no rake outside of its own folder; and a gem that depends on rake would activate one
# before the bundle of a program that is started with RUBYOPT=-rcprof/auto has its say.

require "fileutils"
require "rbconfig"
require "tmpdir"

OUTPUT = File.join(Dir.pwd, "cprof-output")
HEADERS = RbConfig::CONFIG.values_at("rubyhdrdir", "rubyarchhdrdir").compact.freeze # none on JRuby

LACKS = "the build lacks what Debian has as: apt install"

def tell(what)
  puts "cprof: #{what}"
  false
end

def run(*command)
  puts command.join(" ")
  done = system(*command)
  return tell("#{LACKS} cmake") if done.nil? && command.first == "cmake"

  done || tell("#{command.first} #{done.nil? ? "is not there" : "failed"}")
end

def generator
  found = ENV.fetch("PATH", "").split(":").any? { |folder| File.executable?(File.join(folder, "ninja")) }
  found ? %w[-G Ninja] : []
end

# False when it could not be built; it has been told why then.
def build(tree)
  return tell("CPROF_SKIP_BUILD is set") if ENV.key?("CPROF_SKIP_BUILD")
  return tell("it is for CRuby, and this is #{RUBY_ENGINE}") unless RUBY_ENGINE == "ruby"
  return tell("there is no ruby.h in #{HEADERS.first}: #{LACKS} ruby-dev") unless File.exist?(File.join(HEADERS.first.to_s, "ruby.h"))

  run("cmake", "-S", __dir__, "-B", tree, *generator, "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
      "-DCPROF_RUBY_INCLUDE=#{HEADERS.join(";")}", "-DCPROF_RUBY_SUFFIX=.#{RbConfig::CONFIG["DLEXT"]}",
      "-DCPROF_RUBY_OUTPUT=#{OUTPUT}") &&
    run("cmake", "--build", tree, "--parallel", "--target", "cprof_ruby")
end

def write_makefile(files)
  directory = RbConfig.expand("$(sitearchdir)".dup)
  File.write("Makefile", <<~MAKE)
    DESTDIR =
    sitearchdir = #{directory}
    sitelibdir = $(sitearchdir)
    TARGET_SO_DIR = $(DESTDIR)$(sitearchdir)/cprof
    all:
    clean:
    distclean: clean
    install:
    \t#{files.empty? ? "@:" : "mkdir -p '$(TARGET_SO_DIR)' && mv #{files.join(" ")} '$(TARGET_SO_DIR)/'"}
    .PHONY: all clean distclean install
  MAKE
end

built = begin
  FileUtils.rm_rf(OUTPUT)
  Dir.mktmpdir("cprof-build") { |tree| build(tree) }
rescue SystemCallError, ArgumentError => e # Dir.tmpdir finds no folder
  tell(e.message)
end
tell("the extension could not be built; the gem will profile nothing") unless built
write_makefile(built ? Dir["#{File.basename(OUTPUT)}/*"].sort : []) # without spaces, wherever this lies
