"""The only code that touches the outside: RabbitMQ, InfluxDB, systemd, files of state."""
