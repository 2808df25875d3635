# What `vagrant up` says at its end: where things are, how to sign in, and three things to try.

module Reasond
  PORTS = { "grafana" => 3000, "rabbitmq" => 15_672, "influxdb" => 8086, "amqp" => 5672 }.freeze
  LOGINS = {
    "grafana" => %w[admin grafana_admin_password],
    "rabbitmq" => %w[reasond-monitoring rabbitmq_monitoring_password],
    "influxdb" => %w[admin influxdb_admin_password],
    "amqp" => %w[reasond rabbitmq_agents_password],
  }.freeze
  TITLES = { "grafana" => "Grafana", "rabbitmq" => "RabbitMQ", "influxdb" => "InfluxDB", "amqp" => "AMQP" }.freeze
  BOARD = "/d/reasond-agent-overview"
  BRAINS_TOLD = {
    "dry-run" => "they decide by dry-run: Claude is not asked, no key is used and nothing is spent",
    "rules" => "they decide by rules: Claude is not asked and nothing is spent",
    "static" => "they keep to fixed settings: Claude is not asked and nothing is spent",
    "claude" => "they ask Claude, within the budget: this spends money",
  }.freeze

  # Given the settings, each service's [host, port], and the file of passwords; returns lines.
  def self.guide(settings, endpoints, secrets_file)
    ["", "reasond is up, its agents are on #{settings.vms == 1 ? 'one VM' : 'two of three VMs'}; " \
         "#{BRAINS_TOLD[settings.brain]}.", "",
     *PORTS.keys.map { |service| login_line(service, endpoints[service]) },
     "Passwords are made once and kept, by these names, in", "  #{secrets_file}", "",
     *things_to_try(settings, endpoints), ""]
  end

  def self.login_line(service, endpoint)
    url = "#{service == 'amqp' ? 'amqp' : 'http'}://#{endpoint.join(':')}"
    user, password = LOGINS[service]
    format("  %-9s %-30s user %-19s password %s", TITLES[service], url, user, password)
  end

  def self.things_to_try(settings, endpoints)
    first = settings.vms == 1 ? "" : " #{settings.names[0]}"
    consumers = settings.vms == 1 ? "" : " #{settings.names[1]}"
    ["Three things to try:",
     "  1. Watch the agents at work: open http://#{endpoints['grafana'].join(':')}#{BOARD}",
     "  2. Read a publisher's decisions: vagrant ssh#{first} -c \"sudo journalctl --no-pager -t publisher-1 -n 20\"",
     "  3. Take consumers away: vagrant ssh#{consumers} -c \"sudo systemctl stop 'consumer@*'\"",
     "     The board shows queues grow and the health score fall; give them back by the same with",
     "     \"sudo systemctl start --all 'consumer@*'\"",
     "All is well? vagrant ssh#{first} -c \"sudo reasond doctor\"    More: docs/vagrant.md"]
  end
end
