"""The main job on real input: seven processes, real RabbitMQ and InfluxDB, the real SDK, a stand-in for the API."""
