import { describe, expect, test } from "vitest";
import { parseManifests } from "./manifests.ts";

const topic = (over = "") =>
  `apiVersion: auditpipeline.io/v1alpha1\nkind: AuditTopic\nmetadata: {name: payments}\nspec: {partitions: 3}\n${over}`;

describe("parseManifests", () => {
  test("takes several documents, and puts what names no namespace into default", () => {
    const secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: login, namespace: team-a}\nstringData: {a: b}\n";
    const parsed = parseManifests(`# comment\n---\n${topic()}---\n${secret}---\n`);
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
    const ids = parsed.objects.map(({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name}`);
    expect(ids).toEqual(["AuditTopic default/payments", "Secret team-a/login"]);
  });

  test("states what the author wrote, without defaults and without what a server filled in", () => {
    const exported = topic("status: {topicId: x}\n").replace(
      "{name: payments}",
      "{name: payments, uid: u, resourceVersion: '7', creationTimestamp: '2026-01-01T00:00:00Z', labels: {a: b}}",
    );
    expect(parseManifests(exported)).toEqual({
      ok: true,
      objects: [
        {
          ...{ apiVersion: "auditpipeline.io/v1alpha1", kind: "AuditTopic", spec: { partitions: 3 } },
          metadata: { name: "payments", namespace: "default", labels: { a: "b" } },
        },
      ],
    });
  });

  test.for([
    { name: "YAML cut off in the middle", text: topic().slice(0, -4), path: /^line \d+, column \d+$/ },
    { name: "a key twice", text: topic("kind: AuditTopic\n"), path: /^line/ },
    { name: "an empty file", text: "", path: /the file/ },
    { name: "only comments", text: "# nothing\n---\n", path: /the file/ },
    { name: "text that is no mapping", text: "hello", path: /the object/ },
    { name: "another kind", text: topic().replace("AuditTopic", "Deployment"), path: /^kind$/ },
    { name: "no name", text: topic().replace("name: payments", "labels: {}"), path: /^metadata\.name$/ },
    { name: "a hostile name", text: topic().replace("payments", "../x"), path: /^metadata\.name$/ },
    { name: "a value that is not allowed", text: topic().replace("3", "0"), path: /^spec\.partitions$/ },
    { name: "a misspelt field", text: topic().replace("partitions", "partition"), path: /^spec\.partition$/ },
    { name: "the same resource twice", text: `${topic()}---\n${topic()}`, path: /^metadata\.name$/ },
    {
      name: "one bad document among good ones",
      text: `${topic()}---\n${topic().replace("3", "x")}`,
      path: /^document 2: spec/,
    },
    {
      name: "a Secret with an unknown field",
      text: "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringdata: {a: b}\n",
      path: /^stringdata$/,
    },
    { name: "aliases that explode", text: bomb(), path: /.*/ },
  ])("refuses $name, with what was found and what is allowed", ({ text, path }) => {
    const parsed = parseManifests(text);
    if (parsed.ok) throw new Error("taken");
    const [problem] = parsed.problems;
    expect(problem?.path).toMatch(path);
    expect(problem?.found).not.toBe("");
    expect(problem?.allowed).not.toBe("");
  });
});

/** Each line names the one before ten times. */
function bomb(): string {
  const lines = Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`).join(", ")}]`);
  return `a0: &a0 [x]\n${lines.join("\n")}\n`;
}
