import { afterAll, inject } from "vitest";
import { kubernetesStore } from "../../operator/kubernetes/kubernetes-store.ts";
import { objectStoreContract } from "../contract/object-store.contract.ts";
import { connectApi, newNamespace } from "./api.ts";

const api = connectApi(inject("controlPlane").kubeconfig);
afterAll(() => api.close());

objectStoreContract("a Kubernetes API server", async () => ({
  store: kubernetesStore({ api, fieldManager: "contract", onError: (error) => console.error(error) }),
  namespace: await newNamespace(api, "contract"),
}));
