import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { component } from "./build.ts";

/** Answers what was printed. @throws with what kubectl said */
export type Kubectl = (args: readonly string[], input?: string) => Promise<string>;

const runFile = promisify(execFile);

/** The kubectl of the cluster's own release, or the one that KUBECTL names. */
export const kubectlProgram = async () => process.env["KUBECTL"] || component("kubectl");

export const kubectlOf =
  (kubeconfig: string): Kubectl =>
  async (args, input = "") => {
    const program = await kubectlProgram();
    const running = runFile(program, ["--kubeconfig", kubeconfig, ...args], { maxBuffer: 64 * 1024 * 1024 });
    running.child.stdin?.end(input);
    return (await running).stdout;
  };
