"""The lab: a fresh GPU host with everything around it, on one machine, with no GPU and no vendor's network.

Real: systemd, sshd, Docker, reboots, Caddy, LiveKit, the huggingface-hub client. Stand-ins, each named as one and
refusing what the real thing refuses: the vendors' apt repositories (apt.py), the registry's images (images.py), the
vLLM engines (vllm/), the NVIDIA driver and card (nvidia/), the Hugging Face Hub (hub.py).
"""
