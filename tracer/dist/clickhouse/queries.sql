-- Questions to the events of a fleet. `cargo xtask clickhouse` asks each of the real engine.

-- Which causes, how many origins, how sure?
SELECT cause, count() AS failures, uniqExact(origin) AS origins, countIf(certainty = 'certain') / failures AS certain
FROM tracer.failures
WHERE time > now() - INTERVAL 1 DAY
GROUP BY cause
ORDER BY failures DESC;

-- Which origins stand out for a cause?
SELECT origin, process, unit, count() AS failures, min(time) AS first, max(time) AS last
FROM tracer.failures
WHERE cause = 'oom_kill' AND time > now() - INTERVAL 1 DAY
GROUP BY origin, process, unit
ORDER BY failures DESC
LIMIT 20;

-- What happened to this ray? (Cloudflare's error page and Logpush name it.)
SELECT time, origin, cause, certainty, host, path, process, pid, evidence, advice
FROM tracer.failures
WHERE ray = '7d1234567890abcd-LAX';

-- Which hosts and paths get 52x?
SELECT host, path, edge_status, topK(3)(cause) AS causes, count() AS failures
FROM tracer.failures
WHERE time > now() - INTERVAL 1 HOUR AND edge_status IS NOT NULL
GROUP BY host, path, edge_status
ORDER BY failures DESC
LIMIT 20;

-- Keep-alive timeouts that are too short: how long were those connections idle?
SELECT process, quantiles(0.5, 0.9, 0.99)(idle_ms) AS idle_ms, count() AS failures
FROM tracer.failures
WHERE cause = 'keepalive_race' AND time > now() - INTERVAL 1 DAY
GROUP BY process
ORDER BY failures DESC;

-- Failures over time, for a graph.
SELECT minute, cause, sum(failures) AS failures
FROM tracer.failures_per_minute
WHERE minute > now() - INTERVAL 1 DAY
GROUP BY minute, cause
ORDER BY minute, cause;
