-- What becomes of it.

-- Every scan with what is known of its station, route and associate, and the business rules. A scan whose station is not
-- known keeps flowing: its site is 'unknown'.
CREATE OR REPLACE VIEW scan_facts AS
SELECT s.package_id, s.station_id, s.route_id, s.associate_id, s.event_time, s.kafka_timestamp AS arrived_at,
       coalesce(st.site, 'unknown') AS site,
       coalesce(st.kind, 'unknown') AS station_kind,
       coalesce(r.destination, 'unknown') AS destination,
       coalesce(a.name, 'unknown') AS associate,
       coalesce(a.shift, 'unknown') AS shift,
       s.weight_g,
       s.length_cm * s.width_cm * s.height_cm / 1000000 AS volume_m3,
       coalesce(s.weight_g > r.max_weight_g, false) AS overweight,
       coalesce(st.site <> r.site, false) AS misrouted,
       st.station_id IS NULL AS unknown_station,
       s.kafka_timestamp - s.event_time > INTERVAL '10 seconds' AS late
FROM scans s
LEFT JOIN stations st ON st.station_id = s.station_id
LEFT JOIN routes r ON r.route_id = s.route_id
LEFT JOIN associates a ON a.associate_id = s.associate_id;

-- Inflow of each site in steps of 10 seconds: the numbers on the wall.
CREATE MATERIALIZED VIEW IF NOT EXISTS site_inflow WITH (retention = '2 hours') AS
SELECT site, window_start,
       count(*) AS scans,
       count(*) FILTER (WHERE late) AS late,
       count(*) FILTER (WHERE overweight) AS overweight,
       count(*) FILTER (WHERE unknown_station) AS unknown,
       sum(weight_g) / 1000 AS weight_kg
FROM tumble(scan_facts, event_time, INTERVAL '10 seconds')
GROUP BY site, window_start;

-- Inflow by station and minute: the heat map and the thresholds.
CREATE MATERIALIZED VIEW IF NOT EXISTS station_inflow WITH (retention = '2 hours') AS
SELECT site, station_id, window_start,
       count(*) AS scans,
       count(*) FILTER (WHERE late) AS late,
       max(arrived_at) AS last_scan
FROM tumble(scan_facts, event_time, INTERVAL '1 minute')
GROUP BY site, station_id, window_start;

-- Inflow by route and minute.
CREATE MATERIALIZED VIEW IF NOT EXISTS route_inflow WITH (retention = '2 hours') AS
SELECT site, route_id, destination, window_start,
       count(*) AS scans,
       count(*) FILTER (WHERE overweight) AS overweight,
       count(*) FILTER (WHERE misrouted) AS misrouted,
       sum(volume_m3) AS volume_m3
FROM tumble(scan_facts, event_time, INTERVAL '1 minute')
GROUP BY site, route_id, destination, window_start;

-- Productivity of associates in steps of 5 minutes.
CREATE MATERIALIZED VIEW IF NOT EXISTS associate_scans WITH (retention = '4 hours') AS
SELECT site, associate_id, associate, shift, window_start,
       count(*) AS scans,
       avg(weight_g) AS mean_weight_g
FROM tumble(scan_facts, event_time, INTERVAL '5 minutes')
GROUP BY site, associate_id, associate, shift, window_start;
