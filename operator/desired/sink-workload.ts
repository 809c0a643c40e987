import { createHash } from "node:crypto";
import { stringify } from "yaml";
import { GROUP } from "../../crds/v1alpha1/shared.ts";
import { desiredDeployment } from "./sink-deployment.ts";
import { disruptionBudget } from "./sink-disruption.ts";
import { KAFKA_CA } from "./sink-files.ts";
import type { WorkloadInput } from "./sink-input.ts";
import { sinkMetadata } from "./sink-metadata.ts";
import { metricsService, networkPolicy } from "./sink-network.ts";

/** The sink's last spec, kept on its ConfigMap: how a sink that left the pipeline's spec is torn down by its own policy. */
export const SINK_SPEC = `${GROUP}/sink-spec`;

/**
 * Everything a sink is in the cluster, in the order it is applied: a pod never starts before what it reads, nor before
 * what limits it.
 */
export function desiredWorkload(input: WorkloadInput) {
  const configText = stringify(input.config, { sortMapEntries: true });
  return {
    serviceAccount: serviceAccount(input),
    configMap: configMap(input, configText),
    service: metricsService(input),
    disruptionBudget: disruptionBudget(input),
    ...(input.spec.networkPolicy.enabled ? { networkPolicy: networkPolicy(input) } : {}),
    deployment: desiredDeployment(input, checksum(configText + (input.ca ?? "") + (input.kafka.ca ?? ""))),
  };
}

const checksum = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 16);

/** The sink speaks to Kafka and PostgreSQL, never to the API server: no token. */
const serviceAccount = (input: WorkloadInput) => ({
  apiVersion: "v1",
  kind: "ServiceAccount",
  metadata: sinkMetadata(input, input.names.workload),
  automountServiceAccountToken: false,
});

const configMap = (input: WorkloadInput, configText: string) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { ...sinkMetadata(input, input.names.config), annotations: { [SINK_SPEC]: JSON.stringify(input.sink) } },
  data: {
    "config.yaml": configText,
    ...(input.ca === undefined ? {} : { "ca.crt": input.ca }),
    ...(input.kafka.ca === undefined ? {} : { [KAFKA_CA]: input.kafka.ca }),
  },
});
