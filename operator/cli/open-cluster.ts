import { FIELD_MANAGER } from "../controllers/field-manager.ts";
import { type Connection, connectKubernetes, KubeConfigError, type KubeFlags } from "../kubernetes/connect.ts";
import { kubernetesStore } from "../kubernetes/kubernetes-store.ts";
import { explained } from "./cluster-errors.ts";
import { Failure } from "./failure.ts";
import type { Opened } from "./open-client.ts";

/** The cluster of a kubeconfig, with every failure told for people. @throws Failure */
export function openCluster(flags: KubeFlags): Opened {
  const { api, namespace = "default", server } = connection(flags);
  const store = kubernetesStore({ api, fieldManager: FIELD_MANAGER });
  return {
    client: {
      get: (ref) => store.get(ref).catch((error: unknown) => explained(error, server)) as never,
      list: (kind, options) => store.list(kind, options).catch((error: unknown) => explained(error, server)) as never,
      delete: (ref, options) => store.delete(ref, options).catch((error: unknown) => explained(error, server)),
    },
    namespace,
    close: () => api.close(),
  };
}

/** @throws Failure with exit code 2 where no cluster is configured, or not as said */
export function connection(flags: KubeFlags): Connection {
  try {
    return connectKubernetes(flags);
  } catch (error) {
    throw error instanceof KubeConfigError ? new Failure(error.message, 2) : error;
  }
}
