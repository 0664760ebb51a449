CREATE TOPIC scans (package_id TEXT, site TEXT NOT NULL, weight_g INT, ok BOOLEAN, event_time TIMESTAMPTZ,
                    WATERMARK FOR event_time AS event_time - INTERVAL '5 seconds');
CREATE TOPIC sites (site TEXT PRIMARY KEY, name TEXT, capacity BIGINT, price DECIMAL(12,2));
CREATE TOPIC pairs (a INT, b TEXT, v DOUBLE, PRIMARY KEY (a, b));
CREATE VIEW heavy AS SELECT * FROM scans WHERE weight_g > 1000;
CREATE MATERIALIZED VIEW per_site AS SELECT site, count(*) AS n, sum(weight_g) AS w FROM scans GROUP BY site;
INSERT INTO scans VALUES ('p1', 'SEA', 100, true, '2026-01-01 00:00:00Z'),
                         ('p2', 'SEA', 2000, false, '2026-01-01 00:00:01Z'),
                         ('p3', 'ÄBC', NULL, NULL, '2026-01-01 00:00:02Z');
INSERT INTO sites VALUES ('SEA', 'Seattle', 10, 1.50);
