import type { KubeObject } from "../runtime/object-store.ts";

/** The part of Deployment and Pod that the runner acts on; everything else in them is kept and not imitated. */
export interface Deployment extends KubeObject {
  spec: {
    replicas?: number;
    selector?: { matchLabels?: Record<string, string> };
    strategy?: {
      type?: "RollingUpdate" | "Recreate";
      rollingUpdate?: { maxSurge?: number | string; maxUnavailable?: number | string };
    };
    template: { metadata?: { labels?: Record<string, string>; annotations?: Record<string, string> }; spec: PodSpec };
  };
  status?: DeploymentStatus;
}

export interface DeploymentStatus {
  observedGeneration: number;
  replicas: number;
  updatedReplicas: number;
  readyReplicas: number;
  availableReplicas: number;
  unavailableReplicas: number;
  conditions: Condition[];
}

export interface Condition {
  type: string;
  status: "True" | "False" | "Unknown";
  reason: string;
  message: string;
  lastTransitionTime: string;
}

export interface Pod extends KubeObject {
  spec: PodSpec;
  status?: PodStatus;
}

export interface PodSpec {
  containers: Container[];
  volumes?: Volume[];
  terminationGracePeriodSeconds?: number;
}

export interface Container {
  name: string;
  command?: string[];
  args?: string[];
  env?: EnvVar[];
  ports?: { name?: string; containerPort: number }[];
  volumeMounts?: { name: string; mountPath: string; subPath?: string }[];
  readinessProbe?: Probe;
  livenessProbe?: Probe;
  startupProbe?: Probe;
}

export interface EnvVar {
  name: string;
  value?: string;
  valueFrom?: {
    secretKeyRef?: KeyRef;
    configMapKeyRef?: KeyRef;
    fieldRef?: { fieldPath: string };
  };
}

interface KeyRef {
  name: string;
  key: string;
  optional?: boolean;
}

export interface Volume {
  name: string;
  configMap?: { name: string; optional?: boolean };
  secret?: { secretName: string; optional?: boolean };
  emptyDir?: object;
}

export interface Probe {
  httpGet?: { path?: string; port: number | string };
  initialDelaySeconds?: number;
  periodSeconds?: number;
  timeoutSeconds?: number;
  failureThreshold?: number;
}

export interface PodStatus {
  phase: "Pending" | "Running";
  startTime: string;
  conditions: Condition[];
  containerStatuses: ContainerStatus[];
}

export interface ContainerStatus {
  name: string;
  ready: boolean;
  restartCount: number;
  /** `process://<pid>/<start time>` of the running process. */
  containerID?: string;
  state: { running: { startedAt: string } } | { waiting: { reason: string; message: string } };
  lastState?: { terminated: Exit };
}

export interface Exit {
  /** Absent when the operator was not running at that time. */
  exitCode?: number;
  signal?: string;
  reason: "Completed" | "Error" | "Unknown";
  startedAt: string;
  finishedAt: string;
}

/** Where the pod's own HTTP endpoints answer: host:port. */
export const adminAddressAnnotation = "auditpipeline.io/admin-address";
export const templateHashLabel = "pod-template-hash";
/** Keeps a Pod object until its process is gone. */
export const processFinalizer = "auditpipeline.io/process";

export const isReady = ({ status, metadata }: Pod): boolean =>
  metadata.deletionTimestamp === undefined &&
  status?.conditions.find(({ type }) => type === "Ready")?.status === "True";
