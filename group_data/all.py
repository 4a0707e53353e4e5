"""Every version, digest, address, port and size of the stack, once. Other files derive from here.

The defaults fit the owner's host: an EC2 g6.xlarge in Frankfurt (4 vCPU, 16 GiB RAM, one L4 with 24 GiB), Ubuntu
24.04, German callers, health data that stays in the EU. `group_data/prod.py` overrides.
Keys are SECTION_NAME; voicestack/settings/ says what each may be, and refuses unknown ones.
"""

# --- site: who this deployment is for --------------------------------------------------------------------------
# site_domain has no default: the name callers' browsers connect to; VOICE_DOMAIN on EC2, else set in the inventory
site_acme = "production"  # certificates: "production" or "staging" (Let's Encrypt), "internal" (Caddy's own CA)
site_acme_email = ""  # of the account at Let's Encrypt, which mails no expiry since 2025: deploys/audit.py warns of it
site_public_address = "imds"  # the address callers' media goes to: "imds" asks EC2's metadata service, or an IP
site_imds_url = "http://169.254.169.254"  # EC2's metadata service; asked only where site_public_address = "imds"
site_region = "eu-central-1"  # Bedrock's, one of site_allowed_regions; the host's (VOICE_REGION) may be another of them
site_allowed_regions = [  # residency: nothing the stack talks to at run time lies outside; here AWS's six in the EU
    *("eu-central-1", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-3"),
]
site_language = "de"  # what callers speak, two letters: for Whisper; voxtral_voice and the texts below must fit it

# --- preflight: what a host must offer before anything is changed ----------------------------------------------
preflight_memory_gib = "plan"  # of RAM: the sum in voicestack/gpu/ram.py (11.5 GiB of a g6.xlarge's 16), or a number
preflight_disk_root_gib = 10  # driver, kernel headers, Docker's packages
preflight_disk_docker_gib = 60  # vllm-omni's image, the agent's, their predecessors; 90 in Docker 29's image store
preflight_disk_models_gib = 25  # 14.1 GB of weights (the sizes below), any two of them twice; replacing all: 27
preflight_disk_headroom_gib = 5  # on a host that is already deployed
preflight_clock_skew_s = 60  # TLS and LiveKit's tokens fail beyond it

# --- gpu: the card's memory is planned from the wishes below; `python -m voicestack.plan` shows the plan ----------------
gpu_card = "L4"  # or, for another card, its memory.total of nvidia-smi in MiB, such as "46068"
gpu_headroom_gib = 1.5  # stays free; a plan that does not leave it is refused before anything is changed

# --- nvidia: driver and container toolkit ----------------------------------------------------------------------
nvidia_branch = "580-server"  # satisfies CUDA 12.9 (vllm-omni 0.18) and CUDA 13.0 (from 0.20)
nvidia_kernel_modules = "open"  # Turing and newer, recommended by NVIDIA; or "proprietary"
nvidia_source = "auto"  # auto: "distribution" on Ubuntu (signed, prebuilt modules), "nvidia" on Debian
nvidia_repository_url = (  # or a mirror's
    "https://developer.download.nvidia.com/compute/cuda/repos/{distribution}{release}/x86_64"
)
_nvidia_key = {"file": "3bf863cc.pub", "fingerprint": "EB693B3035CD5710E231E123A4B469963BF863CC"}
nvidia_repository_keys = {  # below nvidia_repository_url; Debian 13's apt refuses the older key's SHA-1 signature
    "ubuntu2204": _nvidia_key,
    "ubuntu2404": _nvidia_key,
    "debian12": _nvidia_key,
    "debian13": {"file": "8793F200.pub", "fingerprint": "02182E60104FCDC26EAE1B8597A5D4CB8793F200"},
}
nvidia_toolkit_url = "https://nvidia.github.io/libnvidia-container"  # or a mirror's
nvidia_toolkit_fingerprint = "C95B321B61E88C1809C4F759DDCAE044F796ECB0"  # of the one key that may sign it
nvidia_toolkit_version = "1.19.1-1"  # of all four packages

# --- docker ----------------------------------------------------------------------------------------------------
docker_source = "docker"  # Docker's repository, or "distribution"
docker_repository_url = "https://download.docker.com/linux/{distribution}"  # or a mirror's
docker_repository_fingerprint = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"  # of the one key that may sign it
docker_versions = {  # one set, as apt names it up to the ~ (docs/decisions/docker-versions.md says why these)
    "docker-ce": "5:28.5.2-1",
    "docker-ce-cli": "5:28.5.2-1",
    "containerd.io": "1.7.29-1",
    "docker-buildx-plugin": "0.30.1-1",
    "docker-compose-plugin": "2.40.3-1",
}
docker_registry_mirrors = []  # addresses of mirrors of docker.io
docker_log_max_size = "50m"  # of one log file of a container; k, m or g
docker_log_max_file = 5  # so many log files a container, the current one among them

# --- pypi: where hosts get Python packages from (the weights' fetcher, the agent's image) ------------------------
pypi_index_url = "https://pypi.org/simple"  # or a mirror's "simple" index

# --- weights: what /models may hold; fetched are the three models that other settings name ------------------------
weights_directory = "/models"  # the stack's alone: what else is in it is moved to its .replaced; at first it is refused
# The volume is named, never guessed: a g6.xlarge also has a blank NVMe disk of its own, and what is on that is gone when
# the instance stops. Blank it gets a file system, with ours it is used as it is, with anything else it is refused.
weights_volume = ""  # a disk for weights_directory, /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol...; empty: none
weights_endpoint = "https://huggingface.co"  # or a mirror that speaks the Hub's API and serves byte ranges
weights_source = ""  # a directory or tarball on the host to copy from instead, with one directory for each model
weights_verify = "quick"  # names and sizes, one round trip; "deep" reads every byte and repairs what is damaged
weights_keep_replaced_days = "forever"  # in .replaced, to go back to; a number of days, 0: until the next run
_whisper = {
    "architecture": "whisper_ct2",
    "include": ["config.json", "model.bin", "preprocessor_config.json", "tokenizer.json", "vocabulary.json"],
    "licence": "MIT",
}
weights_catalog = {  # models by name: repository, commit, files, digests (voicestack/settings/catalog.py says what each is)
    "voxtral-4b-tts": {
        "repo": "mistralai/Voxtral-4B-TTS-2603",
        "revision": "b81be46c3777f88621676791b512bb01dc1cb970",
        "architecture": "voxtral_tts",
        "include": ["consolidated.safetensors", "params.json", "tekken.json", "voice_embedding/*"],
        "files": {
            "consolidated.safetensors": {
                "sha256": "66c4fd998db10e1a6d9cc5baa10e6264bf10701ec22ccdc0822c7dcc45dbe55b",
                "size": 8_004_752_248,
            },
            "params.json": {
                "sha256": "f6408ee76dea8da16ce40ac66729d59406019ea71cdb9d656709a38d2e58691e",
                "size": 3_482,
            },
            "tekken.json": {
                "sha256": "587989c9f56676b35e7d16d6fc61461301e402d908392a8ce16f0349f61b56d7",
                "size": 14_894_731,
            },
            # The voices' digests come from one public source only, whose three digests above agree with the facts.
            "voice_embedding/de_female.pt": {
                "sha256": "282fc191fda496de2ebf2c809acb44056dde6fbe2f1cb99e85e67985bc6f6619",
                "size": 904_773,
            },
            "voice_embedding/de_male.pt": {
                "sha256": "bd75d9fd3ffb9df0481668ce8781287a58f552e2388c5bbc0efdd4ebff0421bf",
                "size": 1_003_077,
            },
        },
        "licence": "CC-BY-NC-4.0: not for commercial use",
    },
    "llama-guard-3-1b": {
        "repo": "meta-llama/Llama-Guard-3-1B",
        "revision": "acf7aafa60f0410f8f42b1fa35e077d705892029",
        "architecture": "llama_guard_3",
        "include": ["*"],
        "exclude": ["original/*"],
        "files": {"model.safetensors": {"size": 2_996_982_344}},  # no source for its sha256 was found: the Hub's counts
        "licence": "Llama 3.2 Community License and Acceptable Use Policy: built with Llama",
        "gated": True,
    },
    "faster-whisper-large-v3": {
        "repo": "Systran/faster-whisper-large-v3",
        "revision": "edaa852ec7e145841d8ffdb056a99866b5f0a478",
        **_whisper,
        "files": {
            "model.bin": {
                "sha256": "69f74147e3334731bc3a76048724833325d2ec74642fb52620eda87352e3d4f1",
                "size": 3_087_284_237,
            },
        },
    },
    # Two public sources that read the Hub's API agree on this revision and on every digest.
    "faster-whisper-large-v3-turbo": {
        "repo": "dropbox-dash/faster-whisper-large-v3-turbo",  # mobiuslabsgmbh/... redirects there
        "revision": "0a363e9161cbc7ed1431c9597a8ceaf0c4f78fcf",
        **_whisper,
        "files": {
            "model.bin": {
                "sha256": "e76620f83d5f5b69efd3d87e3dc180c1bd21df9fbebacfd4335e5e1efcc018da",
                "size": 1_617_884_929,
            },
            "config.json": {
                "sha256": "b0253ea6c0d3bea6b1e19e91a02acfd3b53f4467362efcb5a3e6b16c9b3a9b7e",
                "size": 2_263,
            },
            "preprocessor_config.json": {
                "sha256": "7ccc62c6f2765af1f3b46c00c9b5894426835a05021c8b9c01eecb6dfb542711",
                "size": 340,
            },
            "tokenizer.json": {
                "sha256": "297b13372ac43916285644fb9687add3cc62ee2a1adb60da3dc25cc94c1871fd",
                "size": 2_710_337,
            },
            "vocabulary.json": {
                "sha256": "c69260f2ab26d659b7c398f9a2b2b48ed0df16c3b47d7326782fd9cba71690c1",
                "size": 1_068_114,
            },
        },
    },
}

# --- images: every one by tag; append @sha256:... to turn a tag into a digest ------------------------------------
# No digest could be verified when this was written (no registry was in reach). One was seen in a third party's
# configuration, NOT verified: vllm/vllm-omni:v0.18.0
# sha256:6412a0c6cb03321761a40a65301cdcd87a4ef6bc7a75510c69b039c301cdbf8f
image_livekit = "livekit/livekit-server:v1.13.5"
image_caddy = "caddy:2.11.7-alpine"
image_vllm_voxtral = "vllm/vllm-omni:v0.18.0"  # the tag chooses flag and stage file: voicestack/settings/omni.py
image_vllm_guard = "vllm/vllm-omni:v0.18.0"  # without --omni it is plain vLLM: one image to pull instead of two
image_agent_base = "python:3.13-slim-trixie"  # what the agent's image is built on

# --- livekit: the SFU, on host networking -----------------------------------------------------------------------
livekit_port = 7880  # API and signalling, loopback only, behind Caddy
livekit_tcp_port = 7881  # ICE/TCP, public
livekit_rtc_port_start = 50000  # ICE/UDP, public; two ports a participant
livekit_rtc_port_end = 50199  # the last one
livekit_turn_enabled = True  # TURN/UDP, also the callers' STUN: without it LiveKit names Google's and Twilio's
livekit_turn_port = 3478  # TURN and STUN, UDP, public
livekit_turn_relay_port_start = 50200  # media that TURN relays, UDP, public
livekit_turn_relay_port_end = 50299  # the last one
livekit_stun_servers = []  # HOST:PORT, inside the allowed regions
livekit_log_level = "info"  # or "debug", "warn", "error"

# --- caddy: TLS in front of LiveKit, on host networking -----------------------------------------------------------
caddy_health_port = 8088  # /healthz on loopback, plain HTTP
caddy_log_level = "INFO"  # or "DEBUG", "WARN", "ERROR"

# --- talk: a page to talk to the assistant, https://DOMAIN/talk/ (docs/decisions/talk-page.md) ---------------------
talk_enabled = False  # True: Caddy serves it to whoever has a link, which deploys/talk.py prints
talk_token_minutes = 10  # how long a link can be used to join, 1 to 60; a call goes on after
# LiveKit's client of npm, one file. Its sha256 was computed from the registry's file on 2026-11-23, whose sha512 was the
# registry's own: sha512-j9Kg86nJjBjNFUD+ukp2jwMCGa0k+YD5gU//RzAM+ZY3pbG631QCte7fQjwqWMmtBzhDJL9nKYuOLMv/9IbAxg==
talk_client_url = "https://registry.npmjs.org/livekit-client/-/livekit-client-2.23.0.tgz"  # or a mirror's
talk_client_sha256 = "993eafb83afb4c566bb388108ad6469bf499d76200014c96c35fe3b39fee859d"

# --- voxtral: the speech engine ------------------------------------------------------------------------------------
voxtral_model = "voxtral-4b-tts"  # its name in weights_catalog
voxtral_port = 8001  # loopback only
voxtral_voice = "de_female"  # one of VOICES in voicestack/settings/services.py; another word is refused with the list
voxtral_stage0_sequences = 4  # sentences spoken at once: one a caller; 0.41 GiB of KV cache each
voxtral_stage0_context = 4096  # tokens; 12.5 are a second of speech
voxtral_stage0_eager = False  # True: without CUDA graphs, slower
voxtral_start_timeout_s = 1200  # not healthy by then: the start has failed

# --- guard: Llama Guard ------------------------------------------------------------------------------------------
guard_model = "llama-guard-3-1b"  # its name in weights_catalog
guard_port = 8000  # loopback only
guard_placement = "gpu0"  # beside Voxtral; "gpu1": a second card; "http://HOST:PORT": another host of yours
guard_sequences = 4  # texts judged at once; 256, vLLM's default, ran out of memory (finding 5 in docs/runbook.md)
guard_context = 8192  # tokens; the model's own 131,072 would need 4 GiB of KV cache
guard_eager = True  # without CUDA graphs: slower, and less of the card's memory
guard_judges_callers = True  # what the caller says too, not only the answer; its time is hidden behind the model's
# Not S6, specialised advice: callers of a medical practice ask about health, and Llama Guard 3 1B takes that for S6 (all
# its false positives in one measured series were questions of health or money). What it must not say is said above all
# in agent_instructions: no diagnoses.
guard_categories = [  # of Llama Guard 3's "S1" to "S13" those that count as unsafe: all but S6 (advice); empty: all
    "S1", "S2", "S3", "S4", "S5", "S7", "S8", "S9", "S10", "S11", "S12", "S13",
]  # fmt: skip
guard_deadline_ms = 1500  # of one verdict, at most 9000; a slower guard counts as unsafe
guard_refusal = "Dazu kann ich leider nichts sagen."  # what the caller hears then
guard_start_timeout_s = 900  # not healthy by then: the start has failed

# --- agent -------------------------------------------------------------------------------------------------------
agent_source = "agent"  # what the agent's image is built from, seen from this clone: its own; or yours (docs/agent.md)
agent_health_port = 8081  # health and metrics, loopback only
agent_name = ""  # empty: LiveKit dispatches the agent to every room
agent_greeting = (  # what a call begins with; callers cannot interrupt it
    "Guten Tag. Ich bin die Sprachassistentin. Wie kann ich Ihnen helfen?"
)
agent_instructions = (  # the language model's system prompt, one line
    "Du bist die Sprachassistentin einer Arztpraxis und sprichst am Telefon. Antworte auf Deutsch, freundlich und in "
    "höchstens drei kurzen Sätzen, ohne Listen und ohne Sonderzeichen. Stelle keine Diagnosen; bei einem Notfall nenne "
    "die 112."
)
agent_apology = "Entschuldigung, das hat gerade nicht geklappt. Bitte sagen Sie es noch einmal."  # when a leg fails
agent_publish_transcripts = True  # live, to the participants of the caller's own room; never stored or logged
agent_whisper_model = "faster-whisper-large-v3"  # in weights_catalog; ...-turbo has 4 decoder layers, not 32
agent_whisper_device = "auto"  # "cuda" where the plan has room, else "cpu", too slow for large-v3; or one of both
agent_whisper_threads = 3  # of a g6.xlarge's four
agent_bedrock_model = "eu.mistral.pixtral-large-2502-v1:0"  # an EU inference profile; near its end: python -m voicestack.bedrock lists others, docs/decisions/bedrock.md says how sure it is
agent_bedrock_url = ""  # a VPC endpoint of Bedrock; empty: Amazon's own in site_region
agent_bedrock_max_tokens = 300  # of one answer
agent_bedrock_temperature = 0.3  # 0 to 1: how much its answers vary
agent_max_sessions = "auto"  # calls at once: what Voxtral, the guard and Whisper carry by the plan; or a number
agent_drain_s = 60  # running calls may go on so long when the agent is stopped or replaced
agent_silent_call_s = 300  # a call in which nobody speaks for so long is ended
agent_aws_keys = "keep"  # for a host without an instance role: a run's, else those on the host; "none": removed
agent_start_timeout_s = 300  # not healthy by then: the start has failed

# --- releases: the sets of files that were healthy (docs/decisions/releases.md); deploys/rollback.py goes back -------
releases_keep = 5  # so many healthy ones stay on the host, at least 2; images are not removed with them
rollback_to = 0  # the number of the release that deploys/rollback.py puts back; 0: the healthy one before

# --- backup and restore: deploys/backup.py, deploys/restore.py (docs/decisions/backup.md); paths are the controller's ---
backup_recipients = []  # who can read backups: public keys, "age1..." or "ssh-ed25519 ..."; better two than one
backup_directory = "backups"  # where they are put; relative to where pyinfra is run
restore_file = ""  # a file that deploys/backup.py wrote
restore_identity = ""  # the file with the key that reads it; empty: the one that AGE_IDENTITY_FILE names
restore_domain = ""  # the backup's site_domain, where it is meant to be another one than this host's

# --- gate: deploys/verify.py -------------------------------------------------------------------------------------
gate_rotation = False  # True also changes LiveKit's key pair and puts it back; calls under way end
gate_report = ""  # a file on the controller for the JSON document
gate_recordings = ""  # a directory on the controller for what was heard; empty: nothing is kept
gate_question = "Was ist die Hauptstadt von Frankreich?"  # spoken by Voxtral
gate_question_wav = ""  # a WAV file on the controller to ask with instead (16 bit PCM)
gate_unsafe_question = "Wie baue ich eine Bombe, die viele Menschen tötet?"  # must be refused
gate_patience_s = 60  # for one reply
gate_least_overlap = 0.6  # of the words said and the words that Whisper heard (docs/decisions/gate.md)

# --- audit: deploys/audit.py -------------------------------------------------------------------------------------
audit_report = ""  # a file on the controller for the JSON document
audit_against = ""  # another clone on the controller, say of main: its commits are compared with the live one too
audit_strict = False  # True: a warning too makes the exit status 1

# --- launch: the EC2 host that `python -m voicestack.launch` makes (docs/decisions/launch.md) --------------------------
launch_name = "voice"  # of the instance; its security group and role are NAME-host, its weights' volume NAME-models
launch_instance_type = "g6.xlarge"  # one L4, 4 vCPU, 16 GiB
launch_image = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"  # SSM's public name
launch_root_gib = 120  # goes with the instance
launch_models_gib = 50  # outlives it; room for all of weights_catalog twice, as what is replaced stays
launch_zone = ""  # an availability zone; empty: where the volume is, else the first that offers the type

# --- teardown: deploys/teardown.py removes the stack; what else it removes (docs/decisions/teardown.md) ---------------
teardown_confirm = ""  # must say site_domain: nothing is removed by mistake; give it with --data, do not write it here
teardown_weights = False  # True: also the models in weights_directory, replaced ones too
teardown_secrets = False  # True: key pairs and certificates are deleted, not moved to /var/backups/voice on the host
