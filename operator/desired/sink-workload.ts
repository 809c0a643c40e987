import { createHash } from "node:crypto";
import { stringify } from "yaml";
import { type AuditPipelineSpec, type SinkSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import { GROUP } from "../../crds/v1alpha1/shared.ts";
import { pipelineOwner } from "./pipeline-owner.ts";
import type { RenderedSinkConfig } from "./sink-config.ts";
import { sinkLabels, sinkSelector } from "./sink-labels.ts";
import type { SinkNames } from "./sink-names.ts";

export interface WorkloadInput {
  readonly pipeline: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly spec: Pick<AuditPipelineSpec, "workload">;
  readonly sink: SinkSpec;
  readonly names: SinkNames;
  readonly config: RenderedSinkConfig;
  /** Moves when the login does, and tells nothing of it. */
  readonly credential: string;
  readonly image: string;
  /** PEM; the sink finds it at CA_FILE. */
  readonly ca?: string | undefined;
  readonly kafka: KafkaAccess;
}

/** What a sink has to reach its brokers with, beside their addresses. */
export interface KafkaAccess {
  /** PEM; the sink finds it at `kafkaFiles().caFile`. */
  readonly ca?: string;
  /** In the pipeline's namespace. Absent: the brokers ask for no login. */
  readonly secret?: {
    readonly name: string;
    /** Moves when the login does, and tells nothing of it. */
    readonly fingerprint: string;
    /** It has `username` and `password`. */
    readonly user: boolean;
    /** It has `tls.crt` and `tls.key`. */
    readonly certificate: boolean;
  };
}

/** The sink's last spec, kept on its ConfigMap: how a sink that left the pipeline's spec is torn down by its own policy. */
export const SINK_SPEC = `${GROUP}/sink-spec`;
const CONFIG_CHECKSUM = `${GROUP}/config-checksum`;
const CREDENTIAL_CHECKSUM = `${GROUP}/credential-checksum`;

const CONFIG_DIR = "/etc/audit-sink";
/** Where the store's authority lies in the pod, for the sink's `caFile`. */
export const CA_FILE = `${CONFIG_DIR}/ca.crt`;
const KAFKA_DIR = "/etc/audit-sink-kafka";
const KAFKA_CA = "kafka-ca.crt";
const ADMIN_PORT = 8080;
/** Longer than the sink's own `drainTimeout` of 25 s. */
const GRACE_SECONDS = 40;

/** Where in the pod the sink finds what its connection to Kafka needs. */
export const kafkaFiles = ({ ca, secret }: KafkaAccess) => ({
  ...(ca === undefined ? {} : { caFile: `${CONFIG_DIR}/${KAFKA_CA}` }),
  ...(secret?.certificate === true ? { certFile: `${KAFKA_DIR}/tls.crt`, keyFile: `${KAFKA_DIR}/tls.key` } : {}),
});

/** ServiceAccount, ConfigMap and Deployment, in the order they are applied: a pod never starts before what it reads. */
export function desiredWorkload(input: WorkloadInput) {
  const configText = stringify(input.config, { sortMapEntries: true });
  return [
    serviceAccount(input),
    configMap(input, configText),
    deployment(input, checksum(configText + (input.ca ?? "") + (input.kafka.ca ?? ""))),
  ] as const;
}

const checksum = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 16);

function metadata({ pipeline: { namespace, name, uid }, sink }: WorkloadInput, objectName: string) {
  return {
    name: objectName,
    namespace,
    labels: sinkLabels({ name }, sink.name),
    ownerReferences: [pipelineOwner({ name, uid })],
  };
}

/** The sink speaks to Kafka and PostgreSQL, never to the API server: no token. */
const serviceAccount = (input: WorkloadInput) => ({
  apiVersion: "v1",
  kind: "ServiceAccount",
  metadata: metadata(input, input.names.workload),
  automountServiceAccountToken: false,
});

const configMap = (input: WorkloadInput, configText: string) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { ...metadata(input, input.names.config), annotations: { [SINK_SPEC]: JSON.stringify(input.sink) } },
  data: {
    "config.yaml": configText,
    ...(input.ca === undefined ? {} : { "ca.crt": input.ca }),
    ...(input.kafka.ca === undefined ? {} : { [KAFKA_CA]: input.kafka.ca }),
  },
});

function deployment(input: WorkloadInput, configChecksum: string) {
  const { pipeline, spec, sink, names } = input;
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: metadata(input, names.workload),
    spec: {
      replicas: spec.workload.replicas,
      selector: { matchLabels: sinkSelector(pipeline, sink.name) },
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } },
      template: {
        metadata: {
          labels: sinkLabels(pipeline, sink.name),
          annotations: { [CONFIG_CHECKSUM]: configChecksum, [CREDENTIAL_CHECKSUM]: credentials(input) },
        },
        spec: {
          serviceAccountName: names.workload,
          automountServiceAccountToken: false,
          terminationGracePeriodSeconds: GRACE_SECONDS,
          securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
          containers: [container(input)],
          volumes: [
            { name: "config", configMap: { name: names.config } },
            ...kafkaVolume(input.kafka, ({ name }) => ({ name: "kafka", secret: { secretName: name } })),
          ],
        },
      },
    },
  };
}

const credentials = ({ credential, kafka: { secret } }: WorkloadInput) =>
  secret === undefined ? credential : `${credential}-${secret.fingerprint}`;

/** Only a certificate is a file: what is in the environment cannot be read from the disk of a pod. */
const kafkaVolume = <T>({ secret }: KafkaAccess, part: (secret: NonNullable<KafkaAccess["secret"]>) => T): T[] =>
  secret?.certificate === true ? [part(secret)] : [];

function container({ spec, names, image, kafka }: WorkloadInput) {
  const fromSecret = (name: string, key: string, secret = names.writerSecret) => ({
    name,
    valueFrom: { secretKeyRef: { name: secret, key } },
  });
  const kafkaLogin =
    kafka.secret?.user === true
      ? [
          fromSecret("AUDIT_SINK__KAFKA__SASL__USERNAME", "username", kafka.secret.name),
          fromSecret("AUDIT_SINK__KAFKA__SASL__PASSWORD", "password", kafka.secret.name),
        ]
      : [];
  const fromPod = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });
  const probe = (path: string) => ({ httpGet: { path, port: "admin" } });
  return {
    name: "sink",
    image: spec.workload.image ?? image,
    command: ["audit-sink"],
    args: ["consume"],
    env: [
      { name: "CONFIG_PATH", value: `${CONFIG_DIR}/config.yaml` },
      fromSecret("AUDIT_SINK__STORE__POSTGRES__USER", "username"),
      fromSecret("AUDIT_SINK__STORE__POSTGRES__PASSWORD", "password"),
      ...kafkaLogin,
      fromPod("POD_NAME", "metadata.name"),
      fromPod("POD_NAMESPACE", "metadata.namespace"),
      fromPod("POD_UID", "metadata.uid"),
    ],
    ports: [{ name: "admin", containerPort: ADMIN_PORT, protocol: "TCP" }],
    volumeMounts: [
      { name: "config", mountPath: CONFIG_DIR, readOnly: true },
      ...kafkaVolume(kafka, () => ({ name: "kafka", mountPath: KAFKA_DIR, readOnly: true })),
    ],
    ...(spec.workload.resources === undefined ? {} : { resources: spec.workload.resources }),
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    },
    // Only the sink itself: a broker or a database that is down is no reason to restart the one who waits for it.
    livenessProbe: { ...probe("/healthz"), periodSeconds: 10, failureThreshold: 6 },
    readinessProbe: { ...probe("/readyz"), periodSeconds: 5 },
    startupProbe: { ...probe("/healthz"), periodSeconds: 2, failureThreshold: 30 },
  };
}
