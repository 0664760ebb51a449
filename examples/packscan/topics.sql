-- What flows in. JSON, one record an event; the reference topics hold the newest row of each key.

CREATE TOPIC IF NOT EXISTS stations (
  station_id TEXT PRIMARY KEY, site TEXT NOT NULL, kind TEXT, target_per_minute DOUBLE);

CREATE TOPIC IF NOT EXISTS routes (
  route_id TEXT PRIMARY KEY, site TEXT NOT NULL, destination TEXT, max_weight_g DOUBLE, departs_at TEXT);

CREATE TOPIC IF NOT EXISTS associates (
  associate_id BIGINT PRIMARY KEY, site TEXT NOT NULL, name TEXT, shift TEXT);

-- At most about 2 GB with everything that stands beside it: a partition keeps 100 MB and the segment that it writes.
CREATE TOPIC IF NOT EXISTS scans (
  package_id TEXT NOT NULL, station_id TEXT NOT NULL, route_id TEXT, associate_id BIGINT, location TEXT,
  length_cm DOUBLE, width_cm DOUBLE, height_cm DOUBLE, weight_g DOUBLE,
  event_time TIMESTAMPTZ NOT NULL,
  WATERMARK FOR event_time AS event_time - INTERVAL '5 seconds')
  WITH (partitions = 4, retention = '7 days', retention_bytes = '100 MB');
