# The quickstart in a container: trains a beta-VAE on embedded data and scores it, on CPU.
#     docker build -t dlib_tf2 .
#     docker run --rm -v "$PWD/output:/home/user/dlib_tf2/output" dlib_tf2
FROM python:3.11-slim

# make runs the quickstart; LightGBM's wheel needs libgomp1
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home user

USER user
WORKDIR /home/user/dlib_tf2
COPY --chown=user . .
RUN make setup && mkdir -p output

CMD ["make", "quickstart"]
