"""The lab: a fresh GPU host with everything around it, on one machine, with no GPU and no vendor's network.

Real: systemd, sshd, Docker, reboots, Caddy, LiveKit, Whisper (its smallest English model), the huggingface-hub and AWS
clients. Stand-ins, each named as one and refusing what the real thing refuses: the vendors' apt repositories (apt.py),
the registry's images (images.py), the vLLM engines (vllm/: espeak-ng speaks, a word list judges), the NVIDIA driver and
card (nvidia/), the Hugging Face Hub (hub/), Amazon Bedrock's Converse API (bedrock/: fixed replies to requests whose
signatures it checks) and EC2's metadata service (imds/). The package index (pypi.py) and npm's registry (npm.py) serve
the real files, once fetched, and nothing else. ec2/ is for the tests of EC2 Instance Connect alone, bedrock/catalog.py
for those of the operator's own questions; the lab's hosts do not know them.
"""
