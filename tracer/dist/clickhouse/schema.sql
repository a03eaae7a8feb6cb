-- tracer's events of a fleet: one row a failure, its columns named as the fields of the record.
-- Sized for 1,000 origins; `cargo xtask clickhouse` proves it on the real engine. It can be applied again.

CREATE DATABASE IF NOT EXISTS tracer;

CREATE TABLE IF NOT EXISTS tracer.failures
(
    -- Which origin: the one column that no record holds. The shipper adds it.
    `origin` LowCardinality(String),
    `schema` UInt32 CODEC(ZSTD(1)),
    `time` DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `cause` LowCardinality(String),
    -- NULL: the visitor got no 52x, only a cut body.
    `edge_status` Nullable(UInt16) CODEC(ZSTD(1)),
    `certainty` LowCardinality(String),
    `symptom` LowCardinality(String),
    -- IPv4 as ::ffff:a.b.c.d
    `peer_addr` IPv6 CODEC(ZSTD(1)),
    `peer_port` UInt16 CODEC(ZSTD(1)),
    `local_addr` IPv6 CODEC(ZSTD(1)),
    `local_port` UInt16 CODEC(ZSTD(1)),
    `published_addr` Nullable(IPv6) CODEC(ZSTD(1)),
    `published_port` Nullable(UInt16) CODEC(ZSTD(1)),
    `edge_range` LowCardinality(Nullable(String)),
    `netns` Nullable(UInt32) CODEC(ZSTD(1)),
    `reused` Nullable(Bool) CODEC(ZSTD(1)),
    `exchanges` Nullable(UInt64) CODEC(ZSTD(1)),
    `age_ms` Nullable(Float64) CODEC(ZSTD(1)),
    `idle_ms` Nullable(Float64) CODEC(ZSTD(1)),
    `request_age_ms` Nullable(Float64) CODEC(ZSTD(1)),
    `bytes_received` Nullable(UInt64) CODEC(ZSTD(1)),
    `bytes_sent` Nullable(UInt64) CODEC(ZSTD(1)),
    `ray` Nullable(String) CODEC(ZSTD(1)),
    `method` LowCardinality(Nullable(String)),
    `host` LowCardinality(Nullable(String)),
    `path` Nullable(String) CODEC(ZSTD(1)),
    `http_version` LowCardinality(Nullable(String)),
    `stream_id` Nullable(UInt32) CODEC(ZSTD(1)),
    `h2_error_code` LowCardinality(Nullable(String)),
    `h2_error_by` LowCardinality(Nullable(String)),
    `response_status` Nullable(UInt16) CODEC(ZSTD(1)),
    `response_header_bytes` Nullable(UInt64) CODEC(ZSTD(1)),
    `tls_sni` LowCardinality(Nullable(String)),
    `tls_alert` LowCardinality(Nullable(String)),
    `firewall_hook` LowCardinality(Nullable(String)),
    `process` LowCardinality(Nullable(String)),
    `pid` Nullable(UInt32) CODEC(ZSTD(1)),
    `ns_pid` Nullable(UInt32) CODEC(ZSTD(1)),
    `exe` LowCardinality(Nullable(String)),
    `unit` LowCardinality(Nullable(String)),
    `container` LowCardinality(Nullable(String)),
    `end_how` LowCardinality(Nullable(String)),
    `end_signal` LowCardinality(Nullable(String)),
    `end_code` Nullable(Int32) CODEC(ZSTD(1)),
    `oom_victim` LowCardinality(Nullable(String)),
    `oom_scope` LowCardinality(Nullable(String)),
    `reset_by` LowCardinality(Nullable(String)),
    `reset_reason` LowCardinality(Nullable(String)),
    `upstream_tries` Nullable(UInt32) CODEC(ZSTD(1)),
    `upstream_addr` LowCardinality(Nullable(String)),
    `upstream_process` LowCardinality(Nullable(String)),
    `upstream_pid` Nullable(UInt32) CODEC(ZSTD(1)),
    `upstream_unit` LowCardinality(Nullable(String)),
    `upstream_container` LowCardinality(Nullable(String)),
    `upstream_end_how` LowCardinality(Nullable(String)),
    `upstream_end_signal` LowCardinality(Nullable(String)),
    `upstream_end_code` Nullable(Int32) CODEC(ZSTD(1)),
    `upstream_oom_scope` LowCardinality(Nullable(String)),
    `upstream_bytes_sent` Nullable(UInt64) CODEC(ZSTD(1)),
    `upstream_bytes_received` Nullable(UInt64) CODEC(ZSTD(1)),
    `upstream_status` Nullable(UInt16) CODEC(ZSTD(1)),
    `evidence` Array(String) CODEC(ZSTD(1)),
    `advice` String CODEC(ZSTD(1)),

    -- "What happened to this ray?" is asked without a time.
    INDEX by_ray `ray` TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(`time`)
ORDER BY (`cause`, `origin`, `time`)
TTL toDateTime(`time`) + INTERVAL 30 DAY DELETE
-- Days go as a whole. A batch that a shipper sends again is stored once.
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- Tables that were made before these columns were: 0.1.0.
ALTER TABLE tracer.failures ADD COLUMN IF NOT EXISTS `request_age_ms` Nullable(Float64) CODEC(ZSTD(1)) AFTER `idle_ms`;
ALTER TABLE tracer.failures ADD COLUMN IF NOT EXISTS `ns_pid` Nullable(UInt32) CODEC(ZSTD(1)) AFTER `pid`;
ALTER TABLE tracer.failures ADD COLUMN IF NOT EXISTS `published_addr` Nullable(IPv6) CODEC(ZSTD(1)) AFTER `local_port`;
ALTER TABLE tracer.failures ADD COLUMN IF NOT EXISTS `published_port` Nullable(UInt16) CODEC(ZSTD(1)) AFTER `published_addr`;
ALTER TABLE tracer.failures ADD COLUMN IF NOT EXISTS `http_version` LowCardinality(Nullable(String)) AFTER `path`;
ALTER TABLE tracer.failures ADD COLUMN IF NOT EXISTS `stream_id` Nullable(UInt32) CODEC(ZSTD(1)) AFTER `http_version`;
ALTER TABLE tracer.failures ADD COLUMN IF NOT EXISTS `h2_error_code` LowCardinality(Nullable(String)) AFTER `stream_id`;
ALTER TABLE tracer.failures ADD COLUMN IF NOT EXISTS `h2_error_by` LowCardinality(Nullable(String)) AFTER `h2_error_code`;
ALTER TABLE tracer.failures ADD COLUMN IF NOT EXISTS `upstream_tries` Nullable(UInt32) CODEC(ZSTD(1)) AFTER `reset_reason`;
ALTER TABLE tracer.failures ADD COLUMN IF NOT EXISTS `upstream_addr` LowCardinality(Nullable(String)) AFTER `upstream_tries`;
ALTER TABLE tracer.failures ADD COLUMN IF NOT EXISTS `upstream_process` LowCardinality(Nullable(String)) AFTER `upstream_addr`;
ALTER TABLE tracer.failures ADD COLUMN IF NOT EXISTS `upstream_pid` Nullable(UInt32) CODEC(ZSTD(1)) AFTER `upstream_process`;
ALTER TABLE tracer.failures ADD COLUMN IF NOT EXISTS `upstream_unit` LowCardinality(Nullable(String)) AFTER `upstream_pid`;
ALTER TABLE tracer.failures ADD COLUMN IF NOT EXISTS `upstream_container` LowCardinality(Nullable(String)) AFTER `upstream_unit`;
ALTER TABLE tracer.failures ADD COLUMN IF NOT EXISTS `upstream_end_how` LowCardinality(Nullable(String)) AFTER `upstream_container`;
ALTER TABLE tracer.failures ADD COLUMN IF NOT EXISTS `upstream_end_signal` LowCardinality(Nullable(String)) AFTER `upstream_end_how`;
ALTER TABLE tracer.failures ADD COLUMN IF NOT EXISTS `upstream_end_code` Nullable(Int32) CODEC(ZSTD(1)) AFTER `upstream_end_signal`;
ALTER TABLE tracer.failures ADD COLUMN IF NOT EXISTS `upstream_oom_scope` LowCardinality(Nullable(String)) AFTER `upstream_end_code`;
ALTER TABLE tracer.failures ADD COLUMN IF NOT EXISTS `upstream_bytes_sent` Nullable(UInt64) CODEC(ZSTD(1)) AFTER `upstream_oom_scope`;
ALTER TABLE tracer.failures ADD COLUMN IF NOT EXISTS `upstream_bytes_received` Nullable(UInt64) CODEC(ZSTD(1)) AFTER `upstream_bytes_sent`;
ALTER TABLE tracer.failures ADD COLUMN IF NOT EXISTS `upstream_status` Nullable(UInt16) CODEC(ZSTD(1)) AFTER `upstream_bytes_received`;

-- Counts by minute, kept for a year: what dashboards read.
CREATE TABLE IF NOT EXISTS tracer.failures_per_minute
(
    `minute` DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    `origin` LowCardinality(String),
    `cause` LowCardinality(String),
    -- 0: none.
    `edge_status` UInt16 CODEC(ZSTD(1)),
    `process` LowCardinality(String),
    `failures` UInt64 CODEC(ZSTD(1))
)
ENGINE = SummingMergeTree(`failures`)
PARTITION BY toYYYYMM(`minute`)
ORDER BY (`cause`, `origin`, `minute`, `edge_status`, `process`)
TTL `minute` + INTERVAL 400 DAY DELETE
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS tracer.failures_per_minute_view TO tracer.failures_per_minute AS
SELECT
    toStartOfMinute(toDateTime(`time`, 'UTC')) AS `minute`,
    `origin`,
    `cause`,
    ifNull(`edge_status`, 0) AS `edge_status`,
    ifNull(`process`, '') AS `process`,
    count() AS `failures`
FROM tracer.failures
GROUP BY `minute`, `origin`, `cause`, `edge_status`, `process`;
