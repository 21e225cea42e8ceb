# frozen_string_literal: true

module Cprof
  # The native extension: which file it is for this Ruby, and why there is none. A platform gem
  # (packaging/gem) carries one for each of some versions of Ruby, in folders that have the
  # versions' names; any other gem has the one that was built when it was installed.
  # @api private
  module Extension
    RUBY = RUBY_VERSION[/\A\d+\.\d+/]
    CARRIED = Dir.glob("[0-9]*/native.so", base: __dir__).map { |path| File.dirname(path) }.sort.freeze
    private_constant :RUBY, :CARRIED

    class << self
      # @return [String, nil] a sentence's part on why it could not be loaded
      def load
        require CARRIED.include?(RUBY) ? File.join(__dir__, RUBY, "native") : "cprof/native"
        nil
      rescue LoadError => e
        load_other ? nil : "the extension is not there (#{reason(e)}); nothing is profiled#{log}"
      end

      # @return [String, nil] where the modules are that it loads when they are needed
      def folder
        return __dir__ unless CARRIED.empty?

        native = $LOADED_FEATURES.reverse.find { |path| path.end_with?("/cprof/native.so") }
        native && File.dirname(native)
      end

      private

      # A parent of another Ruby has this file loaded, by its path: what this Ruby's own gem has, if that is
      # the same version.
      def load_other
        others.any? do |path|
          require path
        rescue LoadError
          false
        end
      end

      def others
        return [] unless defined?(Gem::Specification)

        Gem::Specification.find_all_by_name("cprof", VERSION).flat_map do |gem|
          gem.full_require_paths.flat_map { |folder| Dir.glob("#{folder}/cprof/{#{RUBY}/,}native.so") }
        end
      end

      def reason(error)
        return error.message.lines.first.to_s.strip if CARRIED.empty? || CARRIED.include?(RUBY)

        "this gem has it for Ruby #{CARRIED.join(", ")}; gem install cprof --platform ruby builds it for #{RUBY}"
      end

      def log
        folder = Gem.loaded_specs["cprof"]&.extension_dir if defined?(Gem)
        path = File.join(folder, "gem_make.out") if folder
        return unless path && File.exist?(path)

        lacks = File.foreach(path).grep(/apt install/).last
        "#{": #{lacks.strip.delete_prefix("cprof: ")}" if lacks}; for why see #{path}"
      end
    end
  end
end
