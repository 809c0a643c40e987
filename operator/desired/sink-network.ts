import { ADMIN_PORT } from "./sink-files.ts";
import type { WorkloadInput } from "./sink-input.ts";
import { sinkSelector } from "./sink-labels.ts";
import { sinkMetadata } from "./sink-metadata.ts";

/**
 * For whoever reads metrics: each pod by itself, so no address is spent on it. One that is not ready is shown as well,
 * since then its metrics tell most.
 */
export const metricsService = (input: WorkloadInput) => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: sinkMetadata(input, input.names.service),
  spec: {
    clusterIP: "None",
    publishNotReadyAddresses: true,
    selector: sinkSelector(input.pipeline, input.sink.name),
    ports: [{ name: "metrics", port: ADMIN_PORT, targetPort: "admin", protocol: "TCP" }],
  },
});

/** 5353 is where OpenShift's resolver listens behind its Service: policies see the port after translation. */
const DNS_PORTS = [53, 5353];

/**
 * In: metrics and probes. Out: names, and the ports of the database and of every broker that is advertised. Ports and not
 * addresses, because a policy knows no host names and a back-end may stand behind a Service.
 */
export const networkPolicy = (input: WorkloadInput) => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: sinkMetadata(input, input.names.workload),
  spec: {
    podSelector: { matchLabels: sinkSelector(input.pipeline, input.sink.name) },
    policyTypes: ["Ingress", "Egress"],
    ingress: [{ ports: [{ port: ADMIN_PORT, protocol: "TCP" }] }],
    egress: [
      { ports: DNS_PORTS.flatMap((port) => ["UDP", "TCP"].map((protocol) => ({ port, protocol }))) },
      { ports: unique(input.ports).map((port) => ({ port, protocol: "TCP" })) },
    ],
  },
});

const unique = (ports: readonly number[]) => [...new Set(ports)].toSorted((a, b) => a - b);
