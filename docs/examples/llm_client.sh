#!/bin/sh
# The command `llm` over the gateway (`lmbridge serve`): `pip install llm`.
set -e
folder=$(dirname "$(llm logs path)")
cat > "$folder/extra-openai-models.yaml" <<YAML
- model_id: tiny
  model_name: lmbridge-tiny
  api_base: "${OPENAI_BASE_URL:-http://127.0.0.1:1235/v1}"
  supports_tools: true
  supports_schema: true
YAML
llm -m tiny -o temperature 0 "What is lmbridge?"
llm -m tiny -o temperature 0 --schema 'name, age int' "Anna is 31 years old. Give the name and age as JSON."
