"""In-memory doubles of RabbitMQ and InfluxDB, held to the real ones by one contract suite."""
