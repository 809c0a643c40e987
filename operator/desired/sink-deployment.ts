import { GROUP } from "../../crds/v1alpha1/shared.ts";
import { spreadConstraints } from "./sink-disruption.ts";
import { ADMIN_PORT, CONFIG_DIR, KAFKA_DIR, type KafkaAccess } from "./sink-files.ts";
import { isSuspended, type WorkloadInput } from "./sink-input.ts";
import { sinkLabels, sinkSelector } from "./sink-labels.ts";
import { sinkMetadata } from "./sink-metadata.ts";

const CONFIG_CHECKSUM = `${GROUP}/config-checksum`;
const CREDENTIAL_CHECKSUM = `${GROUP}/credential-checksum`;

/** Longer than the sink's own `drainTimeout` of 25 s. */
const GRACE_SECONDS = 40;

/** `configChecksum`: a pod reads its configuration once, so a change of it makes new pods. */
export function desiredDeployment(input: WorkloadInput, configChecksum: string) {
  const { pipeline, spec, sink, names } = input;
  const { podLabels, podAnnotations } = spec.workload;
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: sinkMetadata(input, names.workload),
    spec: {
      replicas: isSuspended(spec) ? 0 : spec.workload.replicas,
      selector: { matchLabels: sinkSelector(pipeline, sink.name) },
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } },
      template: {
        metadata: {
          labels: { ...podLabels, ...sinkLabels(pipeline, sink.name) },
          annotations: {
            ...podAnnotations,
            ...{ [CONFIG_CHECKSUM]: configChecksum, [CREDENTIAL_CHECKSUM]: credentials(input) },
          },
        },
        spec: podSpec(input),
      },
    },
  };
}

const credentials = ({ credential, kafka: { secret } }: WorkloadInput) =>
  secret === undefined ? credential : `${credential}-${secret.fingerprint}`;

/** As pod security `restricted` demands it. */
function podSpec(input: WorkloadInput) {
  const { names, kafka, spec } = input;
  const { imagePullSecrets, nodeSelector, tolerations, priorityClassName } = spec.workload;
  return {
    serviceAccountName: names.workload,
    automountServiceAccountToken: false,
    // The variables that Services of the namespace would add (DB_PORT for one named db) are settings to a sink.
    enableServiceLinks: false,
    terminationGracePeriodSeconds: GRACE_SECONDS,
    securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
    ...stated({ imagePullSecrets, nodeSelector, tolerations, priorityClassName }),
    topologySpreadConstraints: spreadConstraints(input),
    containers: [container(input)],
    volumes: [
      { name: "config", configMap: { name: names.config } },
      ...kafkaVolume(kafka, ({ name }) => ({ name: "kafka", secret: { secretName: name } })),
    ],
  };
}

/** Only a certificate is a file: what is in the environment cannot be read from the disk of a pod. */
const kafkaVolume = <T>({ secret }: KafkaAccess, part: (secret: NonNullable<KafkaAccess["secret"]>) => T): T[] =>
  secret?.certificate === true ? [part(secret)] : [];

function container({ spec, names, image, kafka }: WorkloadInput) {
  const probe = (path: string) => ({ httpGet: { path, port: "admin" } });
  return {
    name: "sink",
    image: spec.workload.image ?? image,
    command: ["audit-sink"],
    args: ["consume"],
    env: environment(names.writerSecret, kafka),
    ports: [{ name: "admin", containerPort: ADMIN_PORT, protocol: "TCP" }],
    volumeMounts: [
      { name: "config", mountPath: CONFIG_DIR, readOnly: true },
      ...kafkaVolume(kafka, () => ({ name: "kafka", mountPath: KAFKA_DIR, readOnly: true })),
    ],
    ...stated({ resources: spec.workload.resources }),
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    },
    // Only the sink itself: a broker or a database that is down is no reason to restart the one who waits for it.
    livenessProbe: { ...probe("/healthz"), periodSeconds: 10, failureThreshold: 6 },
    readinessProbe: { ...probe("/readyz"), periodSeconds: 5 },
    // Started once store and broker were reached; an hour of patience, since a restart brings neither back.
    startupProbe: { ...probe("/readyz"), periodSeconds: 2, failureThreshold: 1_800 },
  };
}

function environment(writerSecret: string, { secret }: KafkaAccess) {
  const fromSecret = (name: string, key: string, from: string) => ({
    name,
    valueFrom: { secretKeyRef: { name: from, key } },
  });
  const fromPod = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });
  return [
    { name: "CONFIG_PATH", value: `${CONFIG_DIR}/config.yaml` },
    fromSecret("AUDIT_SINK__STORE__POSTGRES__USER", "username", writerSecret),
    fromSecret("AUDIT_SINK__STORE__POSTGRES__PASSWORD", "password", writerSecret),
    ...(secret?.user === true
      ? [
          fromSecret("AUDIT_SINK__KAFKA__SASL__USERNAME", "username", secret.name),
          fromSecret("AUDIT_SINK__KAFKA__SASL__PASSWORD", "password", secret.name),
        ]
      : []),
    fromPod("POD_NAME", "metadata.name"),
    fromPod("POD_NAMESPACE", "metadata.namespace"),
    fromPod("POD_UID", "metadata.uid"),
  ];
}

/** Without what the spec leaves out: to state nothing is to own nothing. */
const stated = <T extends object>(fields: T): Partial<T> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>;
