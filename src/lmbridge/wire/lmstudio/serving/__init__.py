"""The server's side of LM Studio's own language: what is asked of us, what is told, and errors in its form.

`bodies` decodes as strictly as LM Studio does, `asked` holds what can be asked, `fields` what becomes of it;
`lists` and `told` are what is told of models, `answers` and their `events` how the native chat answers, `older`
what the older routes tell besides OpenAI's answers, `errors` its error bodies. No I/O.
"""
