# `docker buildx bake -f docker/bake.hcl`, from the repository's root, builds every image.
variable "VERSION" {
  default = "0.1.0"
}

variable "PREFIX" {
  default = "runmeter"
}

group "default" {
  targets = ["role"]
}

target "build" {
  dockerfile = "docker/base.Dockerfile"
  target     = "build"
}

target "runtime" {
  dockerfile = "docker/base.Dockerfile"
  target     = "runtime"
}

target "role" {
  name       = role
  matrix     = { role = ["gateway", "runner", "console-api", "console", "ingestion", "metering", "warehouse", "relay", "billing", "exports", "prepare", "operate"] }
  dockerfile = "docker/${role}.Dockerfile"
  tags       = ["${PREFIX}/${role}:${VERSION}"]
  contexts = {
    runmeter-build   = "target:build"
    runmeter-runtime = "target:runtime"
  }
}
