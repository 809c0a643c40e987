import { afterAll, expect, inject, it } from "vitest";
import { kubectlOf } from "../../hack/cluster/kubectl.ts";
import { demoEvents, producerLine } from "../../hack/demo/events.ts";
import { kafkaTools } from "../../hack/demo/kafka-tools.ts";
import { type Ledger, openLedger } from "../../hack/demo/ledger.ts";
import { refusals } from "./audit-log.ts";
import { uninstallOperator } from "./install.ts";

const { kubeconfig, auditLog, bootstrapServers, postgresUrl } = inject("cluster");
const kubectl = kubectlOf(kubeconfig);
const inTeam = (...args: string[]) => kubectl(["-n", "team-a", ...args]);
const NAMESPACE =
  "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: team-a\n  labels: {pod-security.kubernetes.io/enforce: restricted}\n";
const PIPELINE = `apiVersion: auditpipeline.io/v1alpha1
kind: AuditPipeline
metadata: {name: payments, namespace: team-a}
spec:
  topic: {}
  sinks: [{name: ledger, postgres: {}}]
`;
const { sent, ...promised } = demoEvents(1_000);

let ledger: Ledger | undefined;
afterAll(() => ledger?.close());

it("becomes Ready, with nothing but kubectl", async () => {
  await kubectl(["apply", "-f", "-"], NAMESPACE);
  await kubectl(["apply", "-f", "-"], PIPELINE);
  await inTeam("wait", "auditpipeline/payments", "--for=condition=Ready", "--timeout=180s");
  const pods = JSON.parse(await inTeam("get", "pods", "-o", "json")) as { items: { status: { phase: string } }[] };
  expect(pods.items.map(({ status }) => status.phase)).toEqual(["Running"]);
});

it("stores what is sent, once", async () => {
  const tools = await kafkaTools(bootstrapServers);
  ledger = await openLedger(`${postgresUrl}/team-a_payments`);
  await tools.produce("team-a.payments", sent.map(producerLine));
  await ledger.settled(sent.length);
  expect(await ledger.count("events")).toBe(promised.stored);
  expect(await ledger.count("conflicts")).toBe(promised.conflicts);
  const ids = await ledger.rows("SELECT count(DISTINCT (tenant, source, id))::int AS ids FROM audit.events");
  expect(ids[0]?.["ids"]).toBe(promised.stored);
});

it("goes when it is deleted, and leaves what the policies keep, and a receipt", async () => {
  await inTeam("delete", "auditpipeline/payments", "--wait", "--timeout=180s");
  await inTeam("wait", "pods", "--all", "--for=delete", "--timeout=90s");
  const left = await inTeam("get", "all,secrets,configmaps,serviceaccounts,audittopics,auditpipelines", "-o", "name");
  expect(left.trim().split("\n")).toEqual(["configmap/kube-root-ca.crt", "serviceaccount/default"]);
  expect(await ledger?.count("events")).toBe(promised.stored);

  const receipt = ["get", "configmap", "receipt.team-a.payments", "-o", "jsonpath={.data.receipt\\.json}"];
  const { items } = JSON.parse(await kubectl(["-n", "audit-pipeline-system", ...receipt])) as {
    items: { kind: string; name: string; action: string }[];
  };
  expect(items).toContainEqual(expect.objectContaining({ kind: "PostgresDatabase", action: "Retained" }));
  expect(items).toContainEqual(expect.objectContaining({ kind: "Deployment", action: "Deleted" }));
});

it("was refused nothing by the API server", () => {
  expect(refusals(auditLog, "system:serviceaccount:audit-pipeline-system:audit-pipeline-operator")).toEqual([]);
});

it("is uninstalled by helm, and leaves the definitions and the receipts", async () => {
  await uninstallOperator(kubeconfig);
  const crds = await kubectl(["get", "crd", "-o", "name"]);
  expect(crds.match(/[a-z]+\.auditpipeline\.io/g)).toEqual([
    "auditpipelines.auditpipeline.io",
    "audittopics.auditpipeline.io",
  ]);
  const left = await kubectl([
    "-n",
    "audit-pipeline-system",
    "get",
    "deployments,roles,rolebindings,configmaps",
    "-o",
    "name",
  ]);
  expect(left.trim().split("\n")).toEqual([
    "configmap/kube-root-ca.crt",
    "configmap/receipt.team-a.payments",
    "configmap/receipt.team-a.payments.audittopic",
  ]);
});
