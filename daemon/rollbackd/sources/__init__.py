"""Where events come from: Kafka and recorded files. Webhooks arrive through `http`."""
