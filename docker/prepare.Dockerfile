# prepare. `runmeter-build` and `runmeter-runtime` are the targets of base.Dockerfile; bake.hcl joins them.
FROM runmeter-build AS build
COPY docker/requirements/prepare.in ./role.in
RUN uv pip install --require-hashes --constraint requirements.lock --requirement role.in

FROM runmeter-runtime
COPY --from=build /opt/venv /opt/venv
COPY kit/ kit/
COPY schemas/ schemas/
COPY stack/ stack/
# It ends when it is done, so there is nothing to ask.
HEALTHCHECK NONE
USER 10001:10001
CMD ["python", "-m", "stack.prepare"]
