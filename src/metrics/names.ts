import * as label from "./label-values.ts";
import type { LabelValues } from "./label-values.ts";

/** A metric as it stands on `/metrics`: dashboards, rules and docs are made from this. */
export interface MetricSpec {
  /** With Prometheus's suffixes: `_total` for counters, base units in the name. */
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  /** Label names and what values they may have. None by default. */
  readonly labels?: Readonly<Record<string, LabelValues>>;
  /** Upper bounds in seconds, ascending, without +Inf. Histograms only. */
  readonly buckets?: readonly number[];
  /**
   * With several workers: `sum` adds up what all processes have, `primary` is the primary's alone, `each` has a series per
   * process, told apart by the label `worker` ("primary", "0", "1" …). Default `sum`.
   */
  readonly across?: "sum" | "primary" | "each";
}

/** OpenTelemetry's bounds for HTTP durations, and finer ones below: a router adds fractions of a millisecond. */
const REQUEST_BUCKETS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
] as const;

const CONNECT_BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 3] as const;
const LAG_BUCKETS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const;
const LIST_BUCKETS = [0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60] as const;
const HOST_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;

/** Every metric of Lychgate's own. No label holds anything that a client, a pod or a tenant chooses. */
export const METRICS = {
  // ---- requests
  requests: {
    name: "lychgate_requests_total",
    type: "counter",
    help: "Requests answered, by method, status and reason. Upgraded connections count once, when they end.",
    labels: { method: label.METHODS, code: label.STATUS_LABELS, reason: label.REQUEST_REASONS },
  },
  requestDuration: {
    name: "lychgate_request_duration_seconds",
    type: "histogram",
    help: "From a request's first byte to the last byte of its answer. Upgraded connections are left out.",
    labels: { answered_by: label.ANSWERED_BY },
    buckets: REQUEST_BUCKETS,
  },
  timeToFirstByte: {
    name: "lychgate_time_to_first_byte_seconds",
    type: "histogram",
    help: "From a request's first byte to the first byte of the pod's answer.",
    buckets: REQUEST_BUCKETS,
  },
  requestsInFlight: {
    name: "lychgate_requests_in_flight",
    type: "gauge",
    help: "Requests that have begun and are not answered whole.",
  },
  upgradesOpen: {
    name: "lychgate_upgrades_open",
    type: "gauge",
    help: "Upgraded connections that are open, WebSockets for the most part.",
  },
  requestBytes: {
    name: "lychgate_request_bytes_total",
    type: "counter",
    help: "Body bytes received from clients, in requests that are over.",
  },
  responseBytes: {
    name: "lychgate_response_bytes_total",
    type: "counter",
    help: "Body bytes sent to clients, in requests that are over.",
  },
  clientConnectionsOpen: {
    name: "lychgate_client_connections_open",
    type: "gauge",
    help: "Open connections from clients.",
  },
  clientConnectionsLimit: {
    name: "lychgate_client_connections_limit",
    type: "gauge",
    help: "The most connections from clients that are taken at a time: client.maxConnections, or fewer where files are scarce.",
  },
  clientConnectionsRefused: {
    name: "lychgate_client_connections_refused_total",
    type: "counter",
    help: "Connections from clients that were refused since too many were open: in all, or from one address.",
    labels: { reason: label.CONNECTION_LIMITS },
  },

  tlsHandshakes: {
    name: "lychgate_tls_handshakes_total",
    type: "counter",
    help: "TLS handshakes of clients, by how they ended. full and resumed (by a session ticket) are good; in all others no request was served.",
    labels: { result: label.TLS_HANDSHAKES },
  },
  tlsCertificateExpiry: {
    name: "lychgate_tls_certificate_expiry_timestamp_seconds",
    type: "gauge",
    help: "When the certificate expires that is in force, in seconds since the epoch, by its file.",
    labels: { file: label.CERTIFICATE_FILES },
    across: "primary",
  },
  tlsReloads: {
    name: "lychgate_tls_reloads_total",
    type: "counter",
    help: "Changes of the files with certificates, keys and the CA of clients. After a failure what was in force before stays.",
    labels: { result: label.RELOAD_RESULTS },
    across: "primary",
  },
  tlsLastReloadSuccessful: {
    name: "lychgate_tls_last_reload_successful",
    type: "gauge",
    help: "1 unless files with certificates are of no use that have changed, so that others are in force than those on disk.",
    across: "primary",
  },

  listenerEvictions: {
    name: "lychgate_listener_evictions_total",
    type: "counter",
    help: "Connections to the peer or the admin port that were closed to make room for newer ones: a flood, or a limit that is too low.",
    labels: { listener: label.BOUNDED_LISTENERS },
  },

  // ---- connections to pods
  upstreamConnects: {
    name: "lychgate_upstream_connects_total",
    type: "counter",
    help: "Attempts to connect to a pod, by how they ended.",
    labels: { result: label.CONNECT_RESULTS },
  },
  upstreamConnectDuration: {
    name: "lychgate_upstream_connect_duration_seconds",
    type: "histogram",
    help: "Time to connect to a pod, successful attempts only.",
    buckets: CONNECT_BUCKETS,
  },
  upstreamReuse: {
    name: "lychgate_upstream_reuse_total",
    type: "counter",
    help: "Requests sent on a connection that had carried one before.",
  },
  upstreamConnectionsOpen: {
    name: "lychgate_upstream_connections_open",
    type: "gauge",
    help: "Open connections to pods.",
  },
  upstreamResets: {
    name: "lychgate_upstream_resets_total",
    type: "counter",
    help: "Busy connections to pods that were reset because their incarnation ended, by why it ended.",
    labels: { reason: label.END_REASONS },
  },
  upstreamRetries: {
    name: "lychgate_upstream_retries_total",
    type: "counter",
    help: "Requests sent again on a new connection, none of their bytes having been sent on the kept one.",
  },
  upstreamWedges: {
    name: "lychgate_upstream_wedges_total",
    type: "counter",
    help: "Connections thrown away because they never started their request. Always a bug: alert on it.",
  },
  upstreamPools: {
    name: "lychgate_upstream_pools",
    type: "gauge",
    help: "Incarnations that connections are kept for.",
  },

  upstreamWaiting: {
    name: "lychgate_upstream_waiting",
    type: "gauge",
    help: "Requests that wait for a connection to their pod, all that it may have being in use.",
  },

  // ---- the route table
  routes: {
    name: "lychgate_routes",
    type: "gauge",
    help: "Routes in effect, by state.",
    labels: { state: label.ROUTE_STATES },
  },
  routeConflicts: {
    name: "lychgate_route_conflicts",
    type: "gauge",
    help: "Routing IDs and pod IPs that several living objects claim; none of them is served, or the latest only.",
    labels: { kind: label.CONFLICT_KINDS },
  },
  podIpsRefused: {
    name: "lychgate_pod_ips_refused_total",
    type: "counter",
    help: "Routes that came into effect with an IP that no pod can have, so that they are not served, by who wrote them.",
    labels: { source: label.ROUTE_WRITERS },
  },
  routeMutations: {
    name: "lychgate_route_mutations_total",
    type: "counter",
    help: "What the table was told (route churn), by who told it and what came of it.",
    labels: { source: label.SOURCES, outcome: label.MUTATION_OUTCOMES },
  },
  resurrectionAttempts: {
    name: "lychgate_resurrection_attempts_total",
    type: "counter",
    help: "Refused updates of sandboxes that had no living route, by who wrote them and the rule that stopped them.",
    labels: { source: label.SOURCES, guard: label.RESURRECTION_GUARDS },
  },
  tableFacts: {
    name: "lychgate_table_facts",
    type: "gauge",
    help: "What is kept beyond the informer's word: hints (pushed updates), tombstones (pushed deletions), and objects that a read has shown ahead of the watermark.",
    labels: { kind: label.FACT_KINDS },
  },
  requestsHeld: {
    name: "lychgate_requests_held",
    type: "gauge",
    help: "Requests that wait until what peers pushed of their sandbox is settled.",
  },
  requestsHeldTotal: {
    name: "lychgate_requests_held_total",
    type: "counter",
    help: "Requests that waited so, by how it ended.",
    labels: { end: label.HOLD_ENDS },
  },
  wakeRequestsHeld: {
    name: "lychgate_wake_requests_held",
    type: "gauge",
    help: "Requests that wait until their sandbox, which slept, runs.",
  },
  wakeRequestsHeldTotal: {
    name: "lychgate_wake_requests_held_total",
    type: "counter",
    help: "Requests that waited so, by how it ended.",
    labels: { end: label.WAKE_HOLD_ENDS },
  },
  wakeAttempts: {
    name: "lychgate_wake_attempts_total",
    type: "counter",
    help: "Times that the API server was asked to wake a sandbox, by what came of it. Of several routers that do so at once, one gets `patched`.",
    labels: { result: label.WAKE_ATTEMPTS },
    across: "primary",
  },
  wakes: {
    name: "lychgate_wakes_total",
    type: "counter",
    help: "Sandboxes that were to be woken for requests, by how it ended.",
    labels: { end: label.WAKE_ENDS },
    across: "primary",
  },
  wakeDuration: {
    name: "lychgate_wake_duration_seconds",
    type: "histogram",
    help: "From the first request for a sandbox that slept until it ran.",
    buckets: LIST_BUCKETS,
    across: "primary",
  },
  tableDoubts: {
    name: "lychgate_table_doubts",
    type: "gauge",
    help: "Sandboxes of which a peer pushed something that no read of the API server has settled yet, and for which requests are held.",
  },
  tableFactsLimit: {
    name: "lychgate_table_facts_limit",
    type: "gauge",
    help: "The most facts kept beyond the informer's word at a time, by kind; above, the oldest is given up early.",
    labels: { kind: label.FACT_KINDS },
    across: "primary",
  },
  tableFactsDropped: {
    name: "lychgate_table_facts_dropped_total",
    type: "counter",
    help: "Pushed facts given up without the informer confirming them. An evicted tombstone opens a window.",
    labels: { kind: label.FACT_KINDS, reason: label.FACT_DROP_REASONS },
  },
  incarnationsEnded: {
    name: "lychgate_incarnations_ended_total",
    type: "counter",
    help: "Stretches of a sandbox's life behind one address that ended, by why.",
    labels: { reason: label.END_REASONS },
  },

  // ---- snapshots
  snapshotSaves: {
    name: "lychgate_snapshot_saves_total",
    type: "counter",
    help: "Attempts to save what the table knows to snapshot.path.",
    labels: { result: label.OK_OR_FAILED },
    across: "primary",
  },
  snapshotSaveDuration: {
    name: "lychgate_snapshot_save_duration_seconds",
    type: "histogram",
    help: "Time to save a snapshot, in slices between which traffic is served.",
    buckets: LIST_BUCKETS,
    across: "primary",
  },
  snapshotBytes: {
    name: "lychgate_snapshot_bytes",
    type: "gauge",
    help: "Size of the last snapshot that this process saved.",
    across: "primary",
  },
  snapshotSaved: {
    name: "lychgate_snapshot_saved_timestamp_seconds",
    type: "gauge",
    help: "When the last snapshot was taken that this process saved. 0 before the first.",
    across: "primary",
  },
  snapshotLoads: {
    name: "lychgate_snapshot_loads_total",
    type: "counter",
    help: "What came of looking for a snapshot at the start, when the API server had not given its list in time.",
    labels: { result: label.SNAPSHOT_LOADS },
    across: "primary",
  },
  snapshotServedAge: {
    name: "lychgate_snapshot_served_age_seconds",
    type: "gauge",
    help: "Age of the snapshot that routes are served from. 0 once the API server has given its list, and without a snapshot.",
    across: "primary",
  },

  // ---- the informer
  watermarkAge: {
    name: "lychgate_watermark_age_seconds",
    type: "gauge",
    help: "Time since the API server was last heard: how old what the table knows may be. Absent before the first list.",
    labels: { scope: label.SCOPES },
  },
  watchConnected: {
    name: "lychgate_watch_connected",
    type: "gauge",
    help: "1 while the watch is open and answered, else 0.",
    labels: { scope: label.SCOPES },
  },
  watchLastEvent: {
    name: "lychgate_watch_last_event_timestamp_seconds",
    type: "gauge",
    help: "When the last event of an object was delivered, in seconds since the epoch. 0 before the first.",
    labels: { scope: label.SCOPES },
  },
  watchLists: {
    name: "lychgate_watch_lists_total",
    type: "counter",
    help: "Whole lists that were read and taken, by why and in which way they were read.",
    labels: { reason: label.LIST_REASONS, way: label.LIST_WAYS },
  },
  watchListDuration: {
    name: "lychgate_watch_list_duration_seconds",
    type: "histogram",
    help: "Time to read a whole list.",
    buckets: LIST_BUCKETS,
  },
  watchRelists: {
    name: "lychgate_watch_relists_total",
    type: "counter",
    help: "Lists begun after the first, by why.",
    labels: { reason: label.RELIST_REASONS },
  },
  watchRestarts: {
    name: "lychgate_watch_restarts_total",
    type: "counter",
    help: "Watches that ended and were opened again, by why; closed is the server's ordinary rotation.",
    labels: { reason: label.WATCH_FAULTS },
  },
  watchVersionChecks: {
    name: "lychgate_watch_version_checks_total",
    type: "counter",
    help: "Questions for the API server's present version, by what came of them; behind: it is below the watermark, as after a restore from a backup.",
    labels: { result: label.VERSION_CHECKS },
  },
  watchEvents: {
    name: "lychgate_watch_events_total",
    type: "counter",
    help: "Events of objects that the watch delivered.",
  },
  watchInvalidObjects: {
    name: "lychgate_watch_invalid_objects_total",
    type: "counter",
    help: "Objects and events from the API server that were left aside, by why.",
    labels: { reason: label.INVALID_OBJECT_REASONS },
  },
  watchSinkFailures: {
    name: "lychgate_watch_sink_failures_total",
    type: "counter",
    help: "Times that the table threw on what the informer told it. Always a bug: alert on it.",
  },
  clusterRestores: {
    name: "lychgate_cluster_restores_total",
    type: "counter",
    help: "Times that the cluster's versions went back (a restore from a backup) and the table started over.",
  },

  // ---- peers
  peerPushes: {
    name: "lychgate_peer_pushes_total",
    type: "counter",
    help: "Pushes received on /refresh, by what became of them.",
    labels: { result: label.PUSH_RESULTS },
  },
  peerProofs: {
    name: "lychgate_peer_proofs_total",
    type: "counter",
    help: "Proofs that came with pushes, and proofs that were required and missing, by method and what came of them.",
    labels: { method: label.PROOF_METHODS, result: label.PROOF_RESULTS },
  },
  pushReads: {
    name: "lychgate_push_reads_total",
    type: "counter",
    help: "Reads of the API server that settle pushes, by what was read and what came of it.",
    labels: { of: label.PUSH_READ_KINDS, result: label.PUSH_READ_RESULTS },
  },
  pushReadDuration: {
    name: "lychgate_push_read_duration_seconds",
    type: "histogram",
    help: "How long the reads took that settle pushes.",
    buckets: LAG_BUCKETS,
  },
  pushToApply: {
    name: "lychgate_push_to_apply_seconds",
    type: "histogram",
    help: "From a push's arrival until a read or the informer confirmed that version.",
    buckets: LAG_BUCKETS,
  },

  antiEntropyLooks: {
    name: "lychgate_anti_entropy_comparisons_total",
    type: "counter",
    help: "Comparisons with other replicas, by what came of them.",
    labels: { result: label.LOOK_RESULTS },
    across: "primary",
  },
  antiEntropyDifferences: {
    name: "lychgate_anti_entropy_differences_total",
    type: "counter",
    help: "Objects that two comparisons in a row showed to differ: update and deletion were missed here, ours there.",
    labels: { kind: label.REPLICA_DIFFERENCES },
    across: "primary",
  },
  antiEntropyRepairs: {
    name: "lychgate_anti_entropy_repairs_total",
    type: "counter",
    help: "Facts of other replicas that the table was given, by what came of them.",
    labels: { outcome: label.MUTATION_OUTCOMES },
    across: "primary",
  },
  antiEntropyDrift: {
    name: "lychgate_anti_entropy_drift",
    type: "gauge",
    help: "Objects that stood different in the last round of comparisons, over all other replicas.",
    across: "primary",
  },

  // ---- memberlist
  members: {
    name: "lychgate_members",
    type: "gauge",
    help: "Other members of the memberlist that are remembered, by status.",
    labels: { status: label.MEMBER_STATUSES },
    across: "primary",
  },
  memberHealthScore: {
    name: "lychgate_member_health_score",
    type: "gauge",
    help: "How badly this router keeps up as a member, from 0 (well) to 7. At n, probes take n + 1 times as long.",
    across: "primary",
  },
  memberProbes: {
    name: "lychgate_member_probes_total",
    type: "counter",
    help: "Probes of other members, by how they ended: acked in time, late or through others, over a stream alone, failed.",
    labels: { result: label.MEMBER_PROBES },
  },
  memberRefusals: {
    name: "lychgate_member_refusals_total",
    type: "counter",
    help: "Packets, parts of them and streams from other members that were not taken, by why.",
    labels: { reason: label.MEMBER_REFUSALS },
  },

  // ---- workers
  workersWanted: {
    name: "lychgate_workers_wanted",
    type: "gauge",
    help: "Worker processes that there should be. 0 when one process does everything (`workers: 1`).",
    across: "primary",
  },
  workersReady: {
    name: "lychgate_workers_ready",
    type: "gauge",
    help: "Worker processes that accept connections and know all routes.",
    across: "primary",
  },
  workerRestarts: {
    name: "lychgate_worker_restarts_total",
    type: "counter",
    help: "Workers that ended unasked and were replaced, by how they ended. stuck: killed, as it did not answer for half a minute.",
    labels: { end: label.WORKER_ENDS },
    across: "primary",
  },
  workerRouteLag: {
    name: "lychgate_worker_route_lag_seconds",
    type: "gauge",
    help: "Age of the oldest change of a route that a worker has not taken over. 0 when it knows all.",
    labels: { worker: label.WORKERS },
    across: "primary",
  },
  workerLags: {
    name: "lychgate_worker_lags_total",
    type: "counter",
    help: "Times that a worker fell more than a second behind.",
    labels: { worker: label.WORKERS },
    across: "primary",
  },
  workerApplyDuration: {
    name: "lychgate_worker_apply_seconds",
    type: "histogram",
    help: "From a change in the table until a worker says that it is in effect there.",
    buckets: LAG_BUCKETS,
    across: "primary",
  },
  workerBatches: {
    name: "lychgate_worker_batches_total",
    type: "counter",
    help: "Batches of routes sent to workers. An idle worker gets an empty one each second.",
    across: "primary",
  },
  workerMetricsMissed: {
    name: "lychgate_worker_metrics_missed_total",
    type: "counter",
    help: "Times that a worker did not answer for its metrics within a second. Its counters then stand as it told them last; its gauges are left out.",
    across: "primary",
  },

  // ---- the router
  ready: {
    name: "lychgate_ready",
    type: "gauge",
    across: "primary",
    help: "1 while /readyz says yes, else 0.",
  },
  configReloads: {
    name: "lychgate_config_reloads_total",
    type: "counter",
    help: "Reloads of the configuration (SIGHUP). After a failure the configuration stays as it was.",
    labels: { result: label.RELOAD_RESULTS },
    across: "primary",
  },
  configLastReloadSuccessful: {
    name: "lychgate_config_last_reload_successful",
    type: "gauge",
    help: "1 unless the last reload failed.",
    across: "primary",
  },
  configLastReloadSuccess: {
    name: "lychgate_config_last_reload_success_timestamp_seconds",
    type: "gauge",
    help: "When the configuration in effect was read: by the last reload that succeeded, or at the start.",
    across: "primary",
  },
  buildInfo: {
    name: "lychgate_build_info",
    type: "gauge",
    help: "Always 1: the version of Lychgate and of Node that it runs on.",
    labels: { version: label.BUILD, node: label.BUILD },
    across: "primary",
  },
} as const satisfies Record<string, MetricSpec>;

/**
 * Metrics of the node's kernel routes (docs/architecture.md#node). A group is there from its first use on: by the router's
 * own checks, by `lychgate node anycast run`, or in the file that a command writes for node_exporter's textfile collector.
 */
export const HOST_METRICS = {
  overlapCidrs: {
    name: "lychgate_node_overlap_cidrs",
    type: "gauge",
    help: "Expected CIDRs, by where the kernel sends them. All but ok leave, whole or in part, another way than the default route.",
    labels: { verdict: label.OVERLAP_VERDICTS },
    across: "primary",
  },
  overlapStrict: {
    name: "lychgate_node_overlap_strict",
    type: "gauge",
    help: "1 when an overlap keeps the router from being ready (STRICT), 0 when it is only told (WARN).",
    across: "primary",
  },
  overlapLastCheck: {
    name: "lychgate_node_overlap_last_check_timestamp_seconds",
    type: "gauge",
    help: "When the last overlap check ended, in seconds since the epoch.",
    across: "primary",
  },
  overlapChecks: {
    name: "lychgate_node_overlap_checks_total",
    type: "counter",
    help: "Overlap checks; failed: the kernel's routes could not be read, and what the last check found stands.",
    labels: { result: label.OK_OR_FAILED },
    across: "primary",
  },
  staticRoutes: {
    name: "lychgate_node_static_routes",
    type: "gauge",
    help: "Configured static routes, by how they stand in the kernel.",
    labels: { state: label.STATIC_ROUTE_STATES },
    across: "primary",
  },
  staticRouteChanges: {
    name: "lychgate_node_static_route_changes_total",
    type: "counter",
    help: "Changes made to the kernel so that it has the configured static routes.",
    labels: { change: label.STATIC_ROUTE_CHANGES },
    across: "primary",
  },
  anycastAddresses: {
    name: "lychgate_anycast_addresses",
    type: "gauge",
    help: "Configured service addresses, by whether BIRD announces them.",
    labels: { state: label.ANYCAST_ADDRESS_STATES },
    across: "primary",
  },
  anycastBackends: {
    name: "lychgate_anycast_backends",
    type: "gauge",
    help: "Local backends of service addresses, by whether traffic may be sent to them.",
    labels: { state: label.ANYCAST_BACKEND_STATES },
    across: "primary",
  },
  anycastReconciles: {
    name: "lychgate_anycast_reconciles_total",
    type: "counter",
    help: "Times that the kernel and BIRD were compared with what should be, and made so.",
    labels: { result: label.OK_OR_FAILED },
    across: "primary",
  },
  anycastReconcileDuration: {
    name: "lychgate_anycast_reconcile_duration_seconds",
    type: "histogram",
    help: "Time of one comparison and what it changed.",
    buckets: HOST_BUCKETS,
    across: "primary",
  },
  anycastChanges: {
    name: "lychgate_anycast_changes_total",
    type: "counter",
    help: "Changes of service addresses. grow and shrink: a backend joined or left the multipath group.",
    labels: { change: label.ANYCAST_CHANGES },
    across: "primary",
  },
  anycastDrift: {
    name: "lychgate_anycast_drift_total",
    type: "counter",
    help: "Times that the kernel or BIRD was found other than it had been left: somebody else changes it.",
    across: "primary",
  },
  anycastBirdConfigures: {
    name: "lychgate_anycast_bird_configures_total",
    type: "counter",
    help: "New configurations given to BIRD, by its answer.",
    labels: { result: label.BIRD_RESULTS },
    across: "primary",
  },
  anycastWithdrawDuration: {
    name: "lychgate_anycast_withdraw_duration_seconds",
    type: "histogram",
    help: "From hearing of the last backend's end to BIRD's answer that its address is withdrawn.",
    buckets: HOST_BUCKETS,
    across: "primary",
  },
} as const satisfies Record<string, MetricSpec>;

/** The process's own metrics, by the names that other exporters use. */
export const PROCESS_METRICS = {
  cpu: {
    name: "process_cpu_seconds_total",
    type: "counter",
    help: "CPU time that the process used, user and system.",
    across: "each",
  },
  residentMemory: {
    name: "process_resident_memory_bytes",
    type: "gauge",
    help: "Resident memory of the process.",
    across: "each",
  },
  startTime: {
    name: "process_start_time_seconds",
    type: "gauge",
    help: "When the process started, in seconds since the epoch.",
    across: "each",
  },
  openFiles: {
    name: "process_open_fds",
    type: "gauge",
    help: "Open file descriptors, sockets included. Absent where there is no /proc.",
    across: "each",
  },
  heapUsed: {
    name: "nodejs_heap_size_used_bytes",
    type: "gauge",
    help: "JavaScript heap in use.",
    across: "each",
  },
  externalMemory: {
    name: "nodejs_external_memory_bytes",
    type: "gauge",
    help: "Memory outside the JavaScript heap that its objects hold, buffers included.",
    across: "each",
  },
  eventLoopLagP99: {
    name: "nodejs_eventloop_lag_p99_seconds",
    type: "gauge",
    help: "How late the event loop was since the last scrape, 99th percentile.",
    across: "each",
  },
  eventLoopLagMax: {
    name: "nodejs_eventloop_lag_max_seconds",
    type: "gauge",
    help: "How late the event loop was since the last scrape, the longest.",
    across: "each",
  },
} as const satisfies Record<string, MetricSpec>;
