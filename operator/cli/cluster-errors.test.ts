import { describe, expect, test } from "vitest";
import { errorOf } from "../kubernetes/api-errors.ts";
import { adviceFor } from "./cluster-errors.ts";

const server = "https://10.0.0.1:6443";
const forbidden = (message: string) => errorOf(403, { reason: "Forbidden", message }, "GET /x");
const cannot = (user: string, verb: string, resource: string, group: string, where: string) =>
  `x is forbidden: User "${user}" cannot ${verb} resource "${resource}" in API group "${group}" ${where}`;

describe("adviceFor", () => {
  test.for([
    {
      name: "names the binding for a user in a namespace",
      error: forbidden(cannot("jane@example.com", "list", "audittopics", "auditpipeline.io", 'in the namespace "a"')),
      says: "kubectl create rolebinding audit-pipeline-viewer-jane-example-com -n a --clusterrole=audit-pipeline-viewer --user=jane@example.com",
    },
    {
      name: "names the binding for a service account in all namespaces",
      error: forbidden(cannot("system:serviceaccount:ci:bot", "list", "pods", "", "at the cluster scope")),
      says: "kubectl create clusterrolebinding view-bot --clusterrole=view --serviceaccount=ci:bot",
    },
    {
      name: "asks for edit where something is deleted",
      error: forbidden(cannot("o'neil", "delete", "auditpipelines", "auditpipeline.io", 'in the namespace "a"')),
      says: `--clusterrole=audit-pipeline-editor --user='o'\\''neil'`,
    },
    {
      name: "says of a 404 without a Status that the CRDs are missing",
      error: errorOf(404, {}, "GET /x"),
      says: "crds",
    },
    { name: "says of a 401 to log in again", error: errorOf(401, {}, "GET /x"), says: "log in again" },
  ])("$name", ({ error, says }) => {
    expect(adviceFor(error, server)).toContain(says);
  });

  test("has nothing to add to an object that is not there", () => {
    expect(adviceFor(errorOf(404, { reason: "NotFound", message: "gone" }, "GET /x"), server)).toBeUndefined();
  });
});
