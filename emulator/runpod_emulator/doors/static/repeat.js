// A job as the code that hands it in: with curl, and with the official clients of Python, JavaScript and Go.
const KEY = "RUNPOD_API_KEY";

function body(job) {
  const policy = {};
  if (job.lowPriority) policy.lowPriority = true;
  return { input: job.input, ...(job.webhook ? { webhook: job.webhook } : {}), ...(Object.keys(policy).length ? { policy } : {}) };
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const indented = (text, by) => text.replaceAll("\n", `\n${by}`);

function curl(job, base) {
  return `curl -s ${quoted(`${base}/${job.endpoint}/run`)} \\
    -H "Authorization: Bearer \${${KEY}:-any-key}" -H 'Content-Type: application/json' \\
    -d ${quoted(JSON.stringify(body(job)))}`;
}

// A text as a literal of another language: every escape of JSON is one of theirs. Emoji stay as they are, for Go takes no
// halves of a pair.
const literal = (text) => JSON.stringify(text).replace(/[\u007f-\u009f\u2028\u2029]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);

function python(job, base) {
  return `import json
import os

os.environ["RUNPOD_ENDPOINT_BASE_URL"] = ${literal(base)}  # before the import

import runpod

runpod.api_key = os.environ.get("${KEY}", "any-key")
request = json.loads(${pythonText(JSON.stringify(body(job), null, 2))})
job = runpod.Endpoint(${literal(job.endpoint)}).run(request)
print(job.output())  # waits until it has ended
`;
}

function pythonText(text) {
  if (!/\\|"""/.test(text)) return `"""${text}"""`;
  return text.includes("'''") ? literal(text) : `r'''${text}'''`;
}

function javascript(job, base) {
  return `import runpodSdk from "runpod-sdk";

const runpod = runpodSdk(process.env.${KEY} ?? "any-key", { baseUrl: ${literal(base)} });
const endpoint = runpod.endpoint(${literal(job.endpoint)});
const job = await endpoint.run(${indented(JSON.stringify(body(job), null, 2), "")});
console.log(await endpoint.statusSync(job.id)); // waits until it has ended
`;
}

function go(job, base) {
  return `package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/runpod/go-sdk/pkg/sdk"
	"github.com/runpod/go-sdk/pkg/sdk/config"
	rpEndpoint "github.com/runpod/go-sdk/pkg/sdk/endpoint"
)

func main() {
	key := os.Getenv("${KEY}")
	if key == "" {
		key = "any-key"
	}
	endpoint, err := rpEndpoint.New(
		&config.Config{ApiKey: &key},
		&rpEndpoint.Option{EndpointId: sdk.String(${literal(job.endpoint)}), EndpointUrl: sdk.String(${literal(base)})},
	)
	if err != nil {
		panic(err)
	}
	var job rpEndpoint.JobInput
	if err := json.Unmarshal([]byte(${goText(JSON.stringify(body(job)))}), &job); err != nil {
		panic(err)
	}
	accepted, err := endpoint.Run(&rpEndpoint.RunInput{JobInput: &job})
	if err != nil {
		panic(err)
	}
	ended, err := endpoint.StatusSync(&rpEndpoint.StatusSyncInput{Id: accepted.Id}) // waits until it has ended
	if err != nil {
		panic(err)
	}
	told, _ := json.Marshal(ended)
	fmt.Println(string(told))
}
`;
}

const goText = (text) => (text.includes("`") ? literal(text) : `\`${text}\``);

export const LANGUAGES = { curl, Python: python, JavaScript: javascript, Go: go };
