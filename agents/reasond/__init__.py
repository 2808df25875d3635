"""reasond: daemons that reason at run time and steer a RabbitMQ message flow."""

__version__ = "0.1.0"
