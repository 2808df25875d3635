# Reads and checks what the Vagrantfile is told by environment variables; plain Ruby 2.7 or newer.

module Reasond
  # A variable holds what can't be meant; the message says which, what is accepted, and what to do.
  class BadSetting < StandardError; end

  BRAINS = %w[dry-run rules static claude].freeze
  LAYOUTS = { 1 => %w[reasond-1], 3 => %w[broker-1 broker-2 broker-3] }.freeze
  # One VM holds everything; of three each holds a broker and a part of the rest.
  DEFAULT_MEMORY_MB = { 1 => 2048, 3 => 1536 }.freeze
  MEMORY_MB = (1024..65_536).freeze
  CPUS = (1..32).freeze

  # box is nil where the provider's own default is meant; box_file the path of a box that isn't in a catalogue.
  Settings = Struct.new(:box, :box_file, :memory_mb, :cpus, :vms, :brain, :variables_file, keyword_init: true) do
    def names
      LAYOUTS[vms]
    end

    # Where things are: with three VMs InfluxDB and Grafana are on the last.
    def machine_for(service)
      %w[influxdb grafana].include?(service) ? names.last : names.first
    end

    def inventory
      vms == 1 ? "vagrant" : "vagrant-cluster"
    end
  end

  # Given the environment, and the folder in which Vagrant keeps what it knows of its VMs; raises BadSetting.
  def self.settings(env, state_folder)
    vms = read_vms(env, standing_vms(state_folder))
    box, box_file = read_box(env)
    Settings.new(
      box: box,
      box_file: box_file,
      memory_mb: read_number(env, "REASOND_VAGRANT_MEMORY_MB", DEFAULT_MEMORY_MB[vms], MEMORY_MB, "MB of each VM"),
      cpus: read_number(env, "REASOND_VAGRANT_CPUS", 2, CPUS, "processors of each VM"),
      vms: vms,
      brain: read_brain(env),
      variables_file: read_variables_file(env),
    )
  end

  # How many VMs are there already, nil when none is; whoever doesn't say how many means these.
  def self.standing_vms(state_folder)
    names = Dir.glob(File.join(state_folder, "machines", "*", "*", "id")).map { |path| path.split(File::SEPARATOR)[-3] }
    LAYOUTS.find { |_, layout| (layout & names).any? }&.first
  end

  def self.given(env, name)
    value = env[name].to_s.strip
    value.empty? ? nil : value
  end

  def self.read_vms(env, standing)
    value = given(env, "REASOND_VAGRANT_VMS")
    return standing || 1 unless value

    unless LAYOUTS.keys.map(&:to_s).include?(value)
      raise BadSetting, "REASOND_VAGRANT_VMS is '#{value}': give 1 (all on one VM) or 3 (a cluster of brokers)."
    end
    vms = value.to_i
    return vms if [nil, vms].include?(standing)

    raise BadSetting, "REASOND_VAGRANT_VMS is #{vms}, but the #{standing == 1 ? 'one VM is' : 'three VMs are'} there. " \
                      "Run `REASOND_VAGRANT_VMS=#{standing} vagrant destroy` first, or leave the variable out."
  end

  def self.read_number(env, name, default, range, meaning)
    value = given(env, name)
    return default unless value
    return value.to_i if value.match?(/\A\d+\z/) && range.cover?(value.to_i)

    raise BadSetting, "#{name} is '#{value}': give a whole number from #{range.min} to #{range.max} (#{meaning}), " \
                      "or leave it out for #{default}."
  end

  def self.read_box(env)
    value = given(env, "REASOND_VAGRANT_BOX")
    return [nil, nil] unless value
    return ["reasond-#{File.basename(value, '.box')}", File.expand_path(value)] if File.file?(value)
    return [value, nil] if value.match?(%r{\A[\w.-]+/[\w.-]+\z}) && !value.end_with?(".box")

    raise BadSetting, "REASOND_VAGRANT_BOX is '#{value}': that is neither a file nor the name of a published box. " \
                      "Give a name like bento/ubuntu-22.04, or the path of a .box file."
  end

  def self.read_brain(env)
    value = given(env, "REASOND_VAGRANT_BRAIN") || "dry-run"
    return value if BRAINS.include?(value)

    raise BadSetting, "REASOND_VAGRANT_BRAIN is '#{value}': give one of #{BRAINS.join(', ')}, or leave it out for dry-run."
  end

  def self.read_variables_file(env)
    value = given(env, "REASOND_VAGRANT_VARIABLES")
    return nil unless value
    return File.expand_path(value) if File.file?(value)

    raise BadSetting, "REASOND_VAGRANT_VARIABLES is '#{value}': there is no such file. Give a YAML or JSON file with " \
                      "variables of ansible/inventories/README.md, or leave it out."
  end

  # What only a run that installs needs; raises BadSetting.
  def self.check_before_installing(settings, env, provider, windows:)
    if windows
      raise BadSetting, "Ansible doesn't run on Windows itself: run Vagrant inside WSL 2 (docs/vagrant.md)."
    end
    if settings.brain == "claude" && !given(env, "ANTHROPIC_API_KEY")
      raise BadSetting, "REASOND_VAGRANT_BRAIN is claude, but ANTHROPIC_API_KEY is empty. Export the key, or leave " \
                        "REASOND_VAGRANT_BRAIN out: dry-run needs none."
    end
    return unless provider == "lxc" && settings.box.nil?

    raise BadSetting, "No box for LXC is published and kept: give one by REASOND_VAGRANT_BOX. " \
                      "scripts/get-vagrant, run as root, makes one of Debian 12 and prints its path."
  end
end
