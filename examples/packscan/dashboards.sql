-- What people look at.

CREATE OR REPLACE DASHBOARD wall TITLE 'Inflow'
  VARIABLE site AS (SELECT DISTINCT site FROM stations ORDER BY site) DEFAULT 'SEA1'
  REFRESH INTERVAL '500 milliseconds'
  PANEL scans TITLE 'Scans a minute' NUMBER X window_start Y scans UNIT '/min' WARN 12000 ALARM 6000 AT (0, 0, 3, 3) AS (
    SELECT window_start, scans * 6 AS scans FROM site_inflow
    WHERE site = $site AND window_start < (SELECT max(window_start) - INTERVAL '10 seconds' FROM site_inflow)
    ORDER BY window_start DESC LIMIT 60)
  PANEL weight TITLE 'Weight' NUMBER X window_start Y weight UNIT 'kg/min' AT (3, 0, 3, 3) AS (
    SELECT window_start, round(weight_kg * 6, 1) AS weight FROM site_inflow
    WHERE site = $site AND window_start < (SELECT max(window_start) - INTERVAL '10 seconds' FROM site_inflow)
    ORDER BY window_start DESC LIMIT 60)
  PANEL late TITLE 'Late scans' NUMBER X window_start Y late UNIT '%' WARN 3 ALARM 8 AT (6, 0, 3, 3) AS (
    SELECT window_start, round(100.0 * late / scans, 1) AS late FROM site_inflow
    WHERE site = $site AND window_start < (SELECT max(window_start) - INTERVAL '10 seconds' FROM site_inflow)
    ORDER BY window_start DESC LIMIT 60)
  PANEL overweight TITLE 'Overweight' NUMBER X window_start Y overweight UNIT '/min' WARN 6 ALARM 20 AT (9, 0, 3, 3) AS (
    SELECT window_start, overweight * 6 AS overweight FROM site_inflow
    WHERE site = $site AND window_start < (SELECT max(window_start) - INTERVAL '10 seconds' FROM site_inflow)
    ORDER BY window_start DESC LIMIT 60)
  PANEL inflow TITLE 'Scans in steps of 10 seconds' LINE X window_start Y scans, late AT (0, 3, 7, 4) AS (
    SELECT window_start, scans, late FROM site_inflow
    WHERE site = $site AND window_start < (SELECT max(window_start) - INTERVAL '10 seconds' FROM site_inflow)
    ORDER BY window_start DESC LIMIT 180)
  PANEL stations TITLE 'Stations, last full minute' BAR X station_id Y scans UNIT '/min' WARN 600 ALARM 300 AT (7, 3, 5, 4) AS (
    SELECT station_id, scans FROM station_inflow
    WHERE site = $site AND window_start = (SELECT max(window_start) - INTERVAL '1 minute' FROM station_inflow)
    ORDER BY scans DESC, station_id LIMIT 20)
  PANEL heat TITLE 'Stations by minute' HEATMAP X window_start Y station_id SERIES scans UNIT '/min' AT (0, 7, 7, 5) AS (
    SELECT window_start, station_id, scans FROM station_inflow
    WHERE site = $site AND window_start > (SELECT max(window_start) - INTERVAL '30 minutes' FROM station_inflow)
    ORDER BY station_id, window_start)
  PANEL invalid TITLE 'Refused and late, the newest' TABLE AT (7, 7, 5, 5) AS (
    (SELECT timestamp AS at, 'refused' AS what, reason FROM "scans$quarantine" ORDER BY timestamp DESC LIMIT 8)
    UNION ALL
    (SELECT last_scan, 'late', station_id || ': ' || late || ' of ' || scans || ' scans in a minute' FROM station_inflow
     WHERE site = $site AND late > 0 AND window_start > (SELECT max(window_start) - INTERVAL '3 minutes' FROM station_inflow)
     ORDER BY late DESC, last_scan DESC LIMIT 4)
    ORDER BY 1 DESC);

CREATE OR REPLACE DASHBOARD routes TITLE 'Routes'
  VARIABLE site AS (SELECT DISTINCT site FROM stations ORDER BY site) DEFAULT 'SEA1'
  REFRESH INTERVAL '2 seconds'
  PANEL by_destination TITLE 'Scans by destination, last 5 minutes' BAR X destination Y scans AT (0, 0, 6, 4) AS (
    SELECT destination, sum(scans) AS scans FROM route_inflow
    WHERE site = $site AND window_start >= (SELECT max(window_start) - INTERVAL '5 minutes' FROM route_inflow)
    GROUP BY destination ORDER BY scans DESC)
  PANEL flow TITLE 'Scans by destination' LINE X window_start Y scans SERIES destination AT (6, 0, 6, 4) AS (
    SELECT window_start, destination, sum(scans) AS scans FROM route_inflow
    WHERE site = $site AND window_start < (SELECT max(window_start) FROM route_inflow)
    GROUP BY window_start, destination ORDER BY window_start DESC LIMIT 600)
  PANEL worst TITLE 'Routes with misrouted or overweight parcels, last 5 minutes' TABLE AT (0, 4, 12, 5) AS (
    SELECT route_id, destination, sum(scans) AS scans, sum(misrouted) AS misrouted, sum(overweight) AS overweight,
           round(sum(volume_m3), 1) AS volume_m3
    FROM route_inflow
    WHERE site = $site AND window_start >= (SELECT max(window_start) - INTERVAL '5 minutes' FROM route_inflow)
    GROUP BY route_id, destination HAVING sum(misrouted) + sum(overweight) > 0
    ORDER BY sum(misrouted) + sum(overweight) DESC, route_id LIMIT 20);

CREATE OR REPLACE DASHBOARD associates TITLE 'Associates'
  VARIABLE site AS (SELECT DISTINCT site FROM stations ORDER BY site) DEFAULT 'SEA1'
  REFRESH INTERVAL '2 seconds'
  PANEL active TITLE 'Active now' NUMBER X window_start Y associates AT (0, 0, 3, 2) AS (
    SELECT window_start, count(*) AS associates FROM associate_scans WHERE site = $site
    GROUP BY window_start ORDER BY window_start DESC LIMIT 24)
  PANEL rate TITLE 'Scans by associate' NUMBER X window_start Y scans UNIT '/5 min' AT (3, 0, 3, 2) AS (
    SELECT window_start, round(avg(scans), 1) AS scans FROM associate_scans WHERE site = $site
    GROUP BY window_start ORDER BY window_start DESC LIMIT 24)
  PANEL shifts TITLE 'Scans by shift' LINE X window_start Y scans SERIES shift AT (6, 0, 6, 8) AS (
    SELECT window_start, shift, sum(scans) AS scans FROM associate_scans WHERE site = $site
    GROUP BY window_start, shift ORDER BY window_start DESC LIMIT 120)
  PANEL best TITLE 'Most scans in this step' TABLE AT (0, 2, 6, 6) AS (
    SELECT associate, associate_id, shift, scans, round(mean_weight_g) AS mean_weight_g FROM associate_scans
    WHERE site = $site AND window_start = (SELECT max(window_start) FROM associate_scans)
    ORDER BY scans DESC, associate_id LIMIT 20);
